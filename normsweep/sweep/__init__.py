"""What is asked: the sweep file as typed values, and the values that travel between the parts."""
