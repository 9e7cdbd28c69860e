/* Prints the offsets that layout.go holds, from the headers of an installed CPython, one "field value" a line:
 *
 *   inc=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')
 *   cc -I"$inc" -I"$inc/internal" -o offsets offsets.c && ./offsets
 */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#if PY_VERSION_HEX < 0x03090000
#include <internal/pycore_pystate.h>
#else
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#endif
#include <frameobject.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe_structs.h>
#include <internal/pycore_runtime_structs.h>
#elif PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_frame.h>
#endif

#define AT(name, type, field) printf("%s %zu\n", name, offsetof(type, field))

int main(void) {
	AT("interpretersHead", _PyRuntimeState, interpreters.head);
#if PY_VERSION_HEX < 0x030C0000
	AT("tstateCurrent", _PyRuntimeState, gilstate.tstate_current);
#endif
	AT("interpNext", PyInterpreterState, next);
#if PY_VERSION_HEX < 0x030B0000
	AT("threadsHead", PyInterpreterState, tstate_head);
#else
	AT("threadsHead", PyInterpreterState, threads.head);
#endif
#if PY_VERSION_HEX < 0x030C0000
	AT("modules", PyInterpreterState, modules);
#else
	AT("modules", PyInterpreterState, imports.modules);
	AT("gil", PyInterpreterState, ceval.gil);
	AT("gilHolder", struct _gil_runtime_state, last_holder);
	AT("gilLocked", struct _gil_runtime_state, locked);
#endif
	AT("tsNext", PyThreadState, next);
	AT("tsThreadID", PyThreadState, thread_id);
#if PY_VERSION_HEX < 0x030B0000
	AT("tsFrame", PyThreadState, frame);
#else
	AT("tsNativeID", PyThreadState, native_thread_id);
	AT("tsChunk", PyThreadState, datastack_chunk);
#if PY_VERSION_HEX < 0x030D0000
	AT("tsCframe", PyThreadState, cframe);
	AT("cframeCurrent", _PyCFrame, current_frame);
#else
	AT("tsCurrentFrame", PyThreadState, current_frame);
#endif
#endif
#if PY_VERSION_HEX < 0x030B0000
	AT("fBack", PyFrameObject, f_back);
	AT("fCode", PyFrameObject, f_code);
	AT("fGlobals", PyFrameObject, f_globals);
	AT("fLasti", PyFrameObject, f_lasti);
	AT("fLocals", PyFrameObject, f_localsplus);
#if PY_VERSION_HEX < 0x030A0000
	AT("fState", PyFrameObject, f_executing);
#else
	AT("fState", PyFrameObject, f_state);
#endif
#else
	AT("fBack", _PyInterpreterFrame, previous);
	AT("fGlobals", _PyInterpreterFrame, f_globals);
	AT("fOwner", _PyInterpreterFrame, owner);
	AT("fLocals", _PyInterpreterFrame, localsplus);
#if PY_VERSION_HEX < 0x030D0000
	AT("fCode", _PyInterpreterFrame, f_code);
	AT("fLasti", _PyInterpreterFrame, prev_instr);
#else
	AT("fCode", _PyInterpreterFrame, f_executable);
	AT("fLasti", _PyInterpreterFrame, instr_ptr);
#endif
#endif
	AT("coFilename", PyCodeObject, co_filename);
	AT("coName", PyCodeObject, co_name);
	AT("coFirstline", PyCodeObject, co_firstlineno);
	AT("coArgcount", PyCodeObject, co_argcount);
#if PY_VERSION_HEX < 0x030A0000
	AT("coLines", PyCodeObject, co_lnotab);
#else
	AT("coLines", PyCodeObject, co_linetable);
#endif
#if PY_VERSION_HEX >= 0x030B0000
	AT("coQualname", PyCodeObject, co_qualname);
	AT("coAdaptive", PyCodeObject, co_code_adaptive);
#endif
	printf("asciiSize %zu\ncompactSize %zu\n", sizeof(PyASCIIObject), sizeof(PyCompactUnicodeObject));
	AT("dictKeys", PyDictObject, ma_keys);
	AT("dictValues", PyDictObject, ma_values);
	AT("typeBasicSize", PyTypeObject, tp_basicsize);
	AT("typeFlags", PyTypeObject, tp_flags);
	AT("typeDictOffset", PyTypeObject, tp_dictoffset);
	AT("cachedKeys", PyHeapTypeObject, ht_cached_keys);
	AT("obType", PyObject, ob_type);
	AT("tpName", PyTypeObject, tp_name);
	AT("typeDict", PyTypeObject, tp_dict);
	AT("typeMRO", PyTypeObject, tp_mro);
	AT("tupleSize", PyTupleObject, ob_base.ob_size);
	AT("tupleData", PyTupleObject, ob_item);
	AT("cellRef", PyCellObject, ob_ref);
	AT("bytesSize", PyVarObject, ob_size);
	AT("bytesData", PyBytesObject, ob_sval);
	return 0;
}
