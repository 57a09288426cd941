/* Growing columns, in bytearrays that Python takes over without a copy. */
#pragma once

#include "cursor.h"

typedef struct {
    PyObject *array;
    Py_ssize_t used, room;
} Column;

/* Where `more` bytes may be written behind those that are used; NULL with MemoryError. */
static inline char *column_room(Column *column, Py_ssize_t more) {
    if (!column->array || column->room - column->used < more) {
        Py_ssize_t room = column->room + column->room / 2 + more + 256;
        if (!column->array) {
            column->array = PyByteArray_FromStringAndSize(NULL, room);
            if (!column->array) return NULL;
        } else if (PyByteArray_Resize(column->array, room) < 0)
            return NULL;
        column->room = room;
    }
    return PyByteArray_AS_STRING(column->array) + column->used;
}

/* A column of `size` zeros, which does not grow; NULL with MemoryError. */
static void *column_zeros(Column *column, Py_ssize_t size) {
    char *bytes = column_room(column, size);
    if (!bytes) return NULL;
    memset(bytes, 0, (size_t)size);
    column->used = size;
    return bytes;
}

/* An item of a column. */
#define AT(column, type, row) (((type *)PyByteArray_AS_STRING((column).array))[row])

static void column_drop(Column *column) {
    Py_CLEAR(column->array);
    *column = (Column){0};
}

/* The bytes that are used, handed over; NULL with MemoryError. */
static PyObject *column_taken(Column *column) {
    PyObject *array = column->array;
    Py_ssize_t used = column->used;
    *column = (Column){0};
    if (!array) return PyByteArray_FromStringAndSize(NULL, 0);
    if (PyByteArray_Resize(array, used) < 0) Py_CLEAR(array);
    return array;
}

/* Texts in Arrow's layout: row i is data[offsets[i]:offsets[i + 1]]. */
typedef struct {
    Column data, offsets;
} Texts;

static int texts_init(Texts *texts, Py_ssize_t rows) {
    return column_zeros(&texts->offsets, (rows + 1) * (Py_ssize_t)sizeof(int32_t)) ? 0 : -1;
}

/* End row `row`, which has this text. 0, or -1 with an exception. */
static inline int texts_add(Texts *texts, Py_ssize_t row, Span text) {
    char *to = column_room(&texts->data, text.size);
    if (!to) return -1;
    memcpy(to, text.text, (size_t)text.size);
    texts->data.used += text.size;
    if (texts->data.used > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "texts of more than 2 GiB: hand over fewer events at once");
        return -1;
    }
    ((int32_t *)PyByteArray_AS_STRING(texts->offsets.array))[row + 1] = (int32_t)texts->data.used;
    return 0;
}

static void texts_drop(Texts *texts) {
    column_drop(&texts->data);
    column_drop(&texts->offsets);
}

/* (offsets, data) */
static PyObject *texts_taken(Texts *texts) {
    PyObject *offsets = column_taken(&texts->offsets), *data = column_taken(&texts->data);
    PyObject *both = offsets && data ? PyTuple_Pack(2, offsets, data) : NULL;
    Py_XDECREF(offsets);
    Py_XDECREF(data);
    return both;
}
