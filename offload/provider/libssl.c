/* See libssl.h. */
#include "libssl.h"

#include <string.h>

#define AS_NAME(result, name, parameters) #name,
static const char *const NAMES[] = {LIBSSL_FUNCTIONS(AS_NAME)};
enum { COUNT = sizeof NAMES / sizeof NAMES[0] };
_Static_assert(sizeof(struct offload_libssl) == COUNT * sizeof(void *), "one name for each function");

struct offload_libssl openssl;

int offload_libssl_bind(PyObject *addresses)
{
    void *found[COUNT];

    for (int i = 0; i < COUNT; i++) {
        PyObject *address = PyMapping_GetItemString(addresses, NAMES[i]);
        found[i] = address == NULL ? NULL : PyLong_AsVoidPtr(address);
        Py_XDECREF(address);
        if (found[i] == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_ValueError, "the address of %s is null", NAMES[i]);
            }
            return 0;
        }
    }
    memcpy(&openssl, found, sizeof openssl);
    return 1;
}

PyObject *offload_libssl_names(void)
{
    PyObject *names = PyTuple_New(COUNT);

    for (int i = 0; names != NULL && i < COUNT; i++) {
        PyObject *name = PyUnicode_FromString(NAMES[i]);
        if (name == NULL || PyTuple_SetItem(names, i, name) < 0) { /* takes the reference */
            Py_CLEAR(names);
        }
    }
    return names;
}
