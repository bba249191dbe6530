"""Numbers in, pages out: the console, the plan, table formats, the experiment's note.

Import from the modules: the plan of a sweep needs none of what the tables need.
"""
