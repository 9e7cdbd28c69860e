from . import tools, ways
