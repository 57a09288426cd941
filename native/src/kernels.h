/* Counting of columns by group, with the meaning of detectors.sketch: exact sums in fixed point, bins, extremes.
 *
 * A kernel that meets what is not to be counted returns None: numpy's way then says what is wrong. */
#pragma once

#include "columns.h"

#define FIXED_ONE 0x1p20   /* as detectors.sketch has it */
#define FIXED_LIMIT 0x1p42

/* A one-dimensional buffer of 8-byte numbers, or 4-byte ones if asked for, with any stride. */
typedef struct {
    Py_buffer view;
    const char *bytes;
    Py_ssize_t size, stride;
} Input;

/* False with an exception. `formats`: the item formats of struct that are taken. */
static bool input_open(Input *input, PyObject *source, const char *formats, const char *what) {
    if (PyObject_GetBuffer(source, &input->view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) return false;
    const char *format = input->view.format;
    if (input->view.ndim != 1 || !format || strlen(format) != 1 || !strchr(formats, *format)) {
        PyErr_Format(PyExc_TypeError, "%s must be a column of format %s, got %d dimensions of format %s", what, formats,
                     input->view.ndim, format ? format : "B");
        PyBuffer_Release(&input->view);
        return false;
    }
    input->bytes = input->view.buf;
    input->size = input->view.shape[0];
    input->stride = input->view.strides[0];
    return true;
}

static inline double double_at(const Input *input, Py_ssize_t row) {
    double value;
    memcpy(&value, input->bytes + row * input->stride, sizeof value);
    return value;
}

static inline int64_t int_at(const Input *input, Py_ssize_t row) {
    const char *at = input->bytes + row * input->stride;
    if (input->view.itemsize == 4) {
        int32_t value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* How many edges are at most `value`, of edges that increase: searchsorted(edges, value, side="right"). */
static inline Py_ssize_t bin_of(const double *edges, Py_ssize_t count, double value) {
    const double *base = edges;
    while (count > 1) {
        Py_ssize_t half = count / 2;
        base += half & -(Py_ssize_t)(base[half - 1] <= value); /* no branch: which way it goes is anybody's guess */
        count -= half;
    }
    return (base - edges) + (count == 1 && *base <= value);
}

enum { ROWS, NULLS, OUTSIDE, SUM_HIGH, SUM_LOW, MINIMUM, MAXIMUM, COUNTS, N_OUTPUTS };

/* A tuple of the columns, or NULL with an exception; takes them over. */
static PyObject *outputs_taken(Column *columns, Py_ssize_t count) {
    PyObject *made = PyTuple_New(count);
    for (Py_ssize_t i = 0; made && i < count; i++) {
        PyObject *column = column_taken(&columns[i]);
        if (!column) Py_CLEAR(made);
        else PyTuple_SET_ITEM(made, i, column);
    }
    return made;
}

/* Whether `groups * bins` counters are a thinkable number of them; false with ValueError. */
static bool sane(Py_ssize_t groups, Py_ssize_t bins) {
    if (0 <= groups && 0 < bins && bins <= 1 << 20 && groups <= PY_SSIZE_T_MAX / 64 / bins) return true;
    PyErr_Format(PyExc_ValueError, "%zd groups of %zd bins; both must be positive, and bins at most %d", groups, bins, 1 << 20);
    return false;
}

static PyObject *numeric(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *given[3], *low_or_none, *high_or_none, *made = NULL;
    Py_ssize_t groups;
    if (!PyArg_ParseTuple(args, "OOnOOO:numeric", &given[0], &given[1], &groups, &given[2], &low_or_none, &high_or_none))
        return NULL;
    double low = low_or_none == Py_None ? -Py_HUGE_VAL : PyFloat_AsDouble(low_or_none);
    double high = high_or_none == Py_None ? Py_HUGE_VAL : PyFloat_AsDouble(high_or_none);
    if (PyErr_Occurred()) return NULL;
    Input values = {0}, ids = {0}, edges = {0};
    Column out[N_OUTPUTS] = {{0}};
    double *cuts = NULL;
    if (!input_open(&values, given[0], "d", "values") || !input_open(&ids, given[1], "lq", "groups") ||
        !input_open(&edges, given[2], "d", "edges"))
        goto done;
    Py_ssize_t bins = edges.size + 1;
    if (!sane(groups, bins)) goto done;
    cuts = PyMem_Malloc((size_t)bins * sizeof *cuts);
    if (!cuts) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < edges.size; i++) cuts[i] = double_at(&edges, i);
    for (int i = 0; i < N_OUTPUTS; i++)
        if (!column_zeros(&out[i], groups * 8 * (i == COUNTS ? bins : 1))) goto done;
    int64_t *rows = &AT(out[ROWS], int64_t, 0), *nulls = &AT(out[NULLS], int64_t, 0);
    int64_t *outside = &AT(out[OUTSIDE], int64_t, 0), *counts = &AT(out[COUNTS], int64_t, 0);
    int64_t *sum_high = &AT(out[SUM_HIGH], int64_t, 0), *sum_low = &AT(out[SUM_LOW], int64_t, 0);
    double *minimum = &AT(out[MINIMUM], double, 0), *maximum = &AT(out[MAXIMUM], double, 0);
    for (Py_ssize_t group = 0; group < groups; group++) minimum[group] = Py_HUGE_VAL, maximum[group] = -Py_HUGE_VAL;

    bool fits = values.size == ids.size;
    for (Py_ssize_t i = 0; i < edges.size; i++) fits &= i ? cuts[i - 1] < cuts[i] : cuts[i] == cuts[i];
    for (Py_ssize_t row = 0; fits && row < values.size; row++) {
        int64_t group = int_at(&ids, row);
        double value = double_at(&values, row) + 0.0; /* -0.0 becomes 0.0: which of them came first must not show */
        if (group < 0 || group >= groups || isinf(value)) {
            fits = false;
            break;
        }
        rows[group]++;
        if (value != value) {
            nulls[group]++;
            continue;
        }
        outside[group] += value < low || value > high;
        counts[group * bins + bin_of(cuts, edges.size, value)]++;
        if (value < minimum[group]) minimum[group] = value;
        if (value > maximum[group]) maximum[group] = value;
        double clipped = value < -FIXED_LIMIT ? -FIXED_LIMIT : value > FIXED_LIMIT ? FIXED_LIMIT : value;
        int64_t fixed = lrint(clipped * FIXED_ONE); /* half to even */
        /* Two values near 2**62 overflow 64 bits, so the halves are added apart: exact for 2**32 rows. */
        sum_high[group] += fixed >> 31;
        sum_low[group] += fixed & 0x7FFFFFFF;
    }
    made = fits ? outputs_taken(out, N_OUTPUTS) : Py_NewRef(Py_None);
done:
    for (int i = 0; i < N_OUTPUTS; i++) column_drop(&out[i]);
    PyMem_Free(cuts);
    PyBuffer_Release(&values.view);
    PyBuffer_Release(&ids.view);
    PyBuffer_Release(&edges.view);
    return made;
}

static PyObject *categorical(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *given[2], *made = NULL;
    Py_ssize_t groups, categories;
    if (!PyArg_ParseTuple(args, "OOnn:categorical", &given[0], &given[1], &groups, &categories)) return NULL;
    Py_ssize_t bins = categories < PY_SSIZE_T_MAX ? categories + 1 : 0;
    if (!sane(groups, bins)) return NULL;
    Input codes = {0}, ids = {0};
    Column out[3] = {{0}}; /* rows, nulls, counts; OTHER is the last of the counts */
    if (!input_open(&codes, given[0], "ilq", "codes") || !input_open(&ids, given[1], "lq", "groups")) goto done;
    for (int i = 0; i < 3; i++)
        if (!column_zeros(&out[i], groups * 8 * (i == 2 ? bins : 1))) goto done;
    int64_t *rows = &AT(out[0], int64_t, 0), *nulls = &AT(out[1], int64_t, 0), *counts = &AT(out[2], int64_t, 0);
    bool fits = codes.size == ids.size;
    for (Py_ssize_t row = 0; fits && row < codes.size; row++) {
        int64_t group = int_at(&ids, row), code = int_at(&codes, row);
        if (group < 0 || group >= groups || code < -1 || code > categories) {
            fits = false;
            break;
        }
        rows[group]++;
        if (code < 0) nulls[group]++;
        else counts[group * bins + code]++;
    }
    made = fits ? outputs_taken(out, 3) : Py_NewRef(Py_None);
done:
    for (int i = 0; i < 3; i++) column_drop(&out[i]);
    PyBuffer_Release(&codes.view);
    PyBuffer_Release(&ids.view);
    return made;
}
