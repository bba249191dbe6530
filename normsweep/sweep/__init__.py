"""The sweep file as typed values, and the data classes that all other packages share."""
