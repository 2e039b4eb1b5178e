/* The Python module: arguments, buffers and the interpreter's lock round `sliver_roots`. Limited API of CPython 3.11. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "field.h"
#include "sliver_roots.h"

static const struct kernel *find_kernel(const char *name)
{
    for (const struct kernel *kernel = kernels; kernel->name; kernel++)
        if (kernel->runs_here() && (!name || strcmp(name, kernel->name) == 0))
            return kernel;
    return 0;
}

/* One a processor, but no more than gain much. */
static Py_ssize_t usual_threads(void)
{
#ifdef _SC_NPROCESSORS_ONLN
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > 4 ? 4 : count;
#else
    return 1;
#endif
}

PyDoc_STRVAR(roots_doc, "roots(data, n_shards, threads, kernel=None)\n--\n\n"
"Return 64 bytes a sliver pair: the roots of its primary and of its secondary sliver. 0 threads: one a processor, at\n"
"most 4.\n\n"
"The lock of the interpreter is free meanwhile. Raises ValueError, BufferError or MemoryError.");

static PyObject *roots(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer data;
    Py_ssize_t n_shards, threads;
    const char *name = 0;
    if (!PyArg_ParseTuple(arguments, "y*nn|z", &data, &n_shards, &threads, &name))
        return 0;
    if (threads == 0)
        threads = usual_threads();
    PyObject *result = 0;
    void *memory = 0;
    struct blob blob = {find_kernel(name), data.buf, (size_t)data.len, (size_t)n_shards, (unsigned)threads};
    uint64_t needed = 0;
    if (!blob.kernel) {
        PyErr_Format(PyExc_ValueError, "this machine has no kernel %s", name);
        goto done;
    }
    if (n_shards < 1 || n_shards > MAX_SHARDS || threads < 1 || threads > MAX_THREADS ||
        !(needed = sliver_roots_memory(&blob))) {
        PyErr_Format(PyExc_ValueError, "no code for %zd bytes, %zd shards and %zd threads", data.len, n_shards, threads);
        goto done;
    }
    if (needed <= PY_SSIZE_T_MAX)
        memory = PyMem_Malloc((size_t)needed);
    if (!memory) {
        PyErr_NoMemory();
        goto done;
    }
    result = PyBytes_FromStringAndSize(0, 64 * n_shards);
    if (!result)
        goto done;
    uint8_t *to = (uint8_t *)PyBytes_AsString(result);
    Py_BEGIN_ALLOW_THREADS
    sliver_roots(&blob, memory, to);
    Py_END_ALLOW_THREADS
done:
    PyMem_Free(memory);
    PyBuffer_Release(&data);
    return result;
}

PyDoc_STRVAR(kernels_doc, "kernels()\n--\n\nReturn the names of the kernels that this machine runs, the one in use first.");

static PyObject *kernel_names(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *names = PyList_New(0);
    for (const struct kernel *kernel = kernels; names && kernel->name; kernel++) {
        if (!kernel->runs_here())
            continue;
        PyObject *name = PyUnicode_FromString(kernel->name);
        if (!name || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef methods[] = {
    {"roots", roots, METH_VARARGS, roots_doc},
    {"kernels", kernel_names, METH_NOARGS, kernels_doc},
    {0, 0, 0, 0},
};

static int prepare(PyObject *module)
{
    (void)module;
    field_prepare();
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, 0}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_redstuff", .m_doc = "Sliver roots of Walrus blobs at native speed.",
    .m_methods = methods,  .m_slots = slots,
};

PyMODINIT_FUNC PyInit__redstuff(void)
{
    return PyModuleDef_Init(&definition);
}
