from . import tools, ways, more
