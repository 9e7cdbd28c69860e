"""Hides the code of an addon the way obfuscators do: no source on disk, false file names, forged globals.

    hide.py ADDON_DIRECTORY

What is left of secret.py, forged.py, blame.py and lie.py is marshalled code, and of compiled.py a shared object that Cython made; the sources go away.
"""
import marshal
import pathlib
import subprocess
import sys
import sysconfig

addon = pathlib.Path(sys.argv[1])
source = (addon / "models" / "secret.py").read_text()
code = compile(source, "<frozen vendor>", "exec")
(addon / "models" / "blob.bin").write_bytes(marshal.dumps(code))
forged = compile((addon / "models" / "forged.py").read_text(), "/usr/lib/python3/dist-packages/requests/sessions.py", "exec")
(addon / "models" / "forged.bin").write_bytes(marshal.dumps(forged))
blame = compile((addon / "models" / "blame.py").read_text(), "/opt/addons/partner_tools/models/tools.py", "exec")
(addon / "models" / "blame.bin").write_bytes(marshal.dumps(blame))
lie = compile((addon / "models" / "lie.py").read_text(), "/opt/addons/partner_tools/models/tools.py", "exec")
(addon / "models" / "lie.bin").write_bytes(marshal.dumps(lie))
subprocess.run(["cython3", "-3", "--module-name", "odoo.addons.mit_hidden.models.compiled", "compiled.py"], cwd=addon / "models", check=True)
include = sysconfig.get_path("include")
subprocess.run(["cc", "-w", "-O2", "-shared", "-fPIC", "-I" + include, "-o", "compiled.so", "compiled.c"], cwd=addon / "models", check=True)
for name in ("secret.py", "forged.py", "blame.py", "lie.py", "compiled.py", "compiled.c"):
    (addon / "models" / name).unlink()
