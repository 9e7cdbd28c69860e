from . import license
