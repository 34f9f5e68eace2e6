/* The Python module offload.provider._native: the sign hook, and what makes Streams. */
#include <string.h>

#include "hook.h"
#include "stream.h"

static PyObject *sign_callable; /* set once by set_sign() */

/* The hook that the provider calls from within SSL_do_handshake.  A Python exception stays set for
 * Stream.handshake() to raise; outside of one it can only be reported. */
static int sign_hook(const struct offload_request *request, unsigned char *sig, size_t *sig_len, size_t sig_size)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    const int in_handshake = offload_stream_is_asking();
    PyObject *signature = NULL;
    char *bytes = NULL;
    Py_ssize_t length = 0;
    int ok = 0;

    if (sign_callable == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no signer is set");
        goto end;
    }
    signature = PyObject_CallFunction(sign_callable, "y#siy#", (const char *)request->key_id,
                                      (Py_ssize_t)request->key_id_len, request->digest, request->padding,
                                      (const char *)request->tbs, (Py_ssize_t)request->tbs_len);
    if (signature == NULL || PyBytes_AsStringAndSize(signature, &bytes, &length) < 0) {
        goto end;
    }
    if (length <= 0 || (size_t)length > sig_size) {
        PyErr_Format(PyExc_ValueError, "a signature of %zd bytes does not fit the key", length);
        goto end;
    }
    memcpy(sig, bytes, (size_t)length);
    *sig_len = (size_t)length;
    ok = 1;
end:
    Py_XDECREF(signature);
    if (!ok && !in_handshake) {
        PyErr_WriteUnraisable(NULL);
    }
    PyGILState_Release(gil);
    return ok;
}

static PyObject *module_bind(PyObject *Py_UNUSED(module), PyObject *addresses)
{
    if (!offload_libssl_bind(addresses)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *module_set_sign(PyObject *Py_UNUSED(module), PyObject *callable)
{
    if (!PyCallable_Check(callable)) {
        PyErr_SetString(PyExc_TypeError, "the signer must be callable");
        return NULL;
    }
    PyObject *old = sign_callable;
    sign_callable = Py_NewRef(callable);
    Py_XDECREF(old);
    offload_set_sign(sign_hook);
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"bind", module_bind, METH_O, "bind(addresses): hand over libssl's functions, by name"},
    {"set_sign", module_set_sign, METH_O,
     "set_sign(callable): callable(key_id, digest, padding, tbs) -> signature makes every signature"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "offload.provider._native", NULL, -1, module_methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void);
__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&module_definition);
    PyObject *type = PyType_FromSpec(&offload_stream_spec);
    PyObject *names = offload_libssl_names();

    if (module == NULL || type == NULL || names == NULL || PyModule_AddObjectRef(module, "Stream", type) < 0 ||
        PyModule_AddObjectRef(module, "FUNCTIONS", names) < 0 ||
        PyModule_AddIntConstant(module, "WANT_READ", STATUS_WANT_READ) < 0 ||
        PyModule_AddIntConstant(module, "DONE", STATUS_DONE) < 0 ||
        PyModule_AddIntConstant(module, "CLOSED", STATUS_CLOSED) < 0 ||
        PyModule_AddIntConstant(module, "FAILED", STATUS_FAILED) < 0) {
        Py_XDECREF(names);
        Py_XDECREF(type);
        Py_XDECREF(module);
        return NULL;
    }
    Py_DECREF(names);
    Py_DECREF(type);
    return module;
}
