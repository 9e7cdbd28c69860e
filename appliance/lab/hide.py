"""Hides the code of an addon the way obfuscators do: no source on disk, false file names, forged globals.

    hide.py ADDON_DIRECTORY

What is left of secret.py, forged.py and blame.py is marshalled code; the sources go away.
"""
import marshal
import pathlib
import sys

addon = pathlib.Path(sys.argv[1])
source = (addon / "models" / "secret.py").read_text()
code = compile(source, "<frozen vendor>", "exec")
(addon / "models" / "blob.bin").write_bytes(marshal.dumps(code))
forged = compile((addon / "models" / "forged.py").read_text(), "/usr/lib/python3/dist-packages/requests/sessions.py", "exec")
(addon / "models" / "forged.bin").write_bytes(marshal.dumps(forged))
blame = compile((addon / "models" / "blame.py").read_text(), "/opt/addons/partner_tools/models/tools.py", "exec")
(addon / "models" / "blame.bin").write_bytes(marshal.dumps(blame))
for name in ("secret.py", "forged.py", "blame.py"):
    (addon / "models" / name).unlink()
