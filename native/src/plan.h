/* What a model declares, prepared: its features, tags and classes by name, and the block of columns of a batch. */
#pragma once

#include "columns.h"
#include "names.h"
#include "number.h"

typedef enum { BINARY, MULTICLASS, REGRESSION } Task;

/* CONFLICT: generations of the model differ about the feature's kind, so the careful decoder decides. */
typedef enum { NUMBER, STRING, BOOLEAN, CONFLICT } Kind;

typedef struct {
    Kind kind;
    Py_ssize_t column;
    Table categories;         /* STRING */
    int32_t other, truths[2]; /* codes of what is no category; of false and true */
} Feature;

typedef struct {
    PyObject *prefix; /* bytes `namespace/model/`: keys begin with it */
    Py_ssize_t namespace_size, model_size;
    Task task;
    Py_ssize_t n_numbers, n_categories, n_classes, n_tags;
    Names features, tags, classes;
    Feature *declared; /* per slot of features */
    Span *tag_values;  /* per slot of tags; of the event that is read */
    Column rows, numbers, codes, scores;
} Plan;

static void plan_drop_block(Plan *plan) {
    column_drop(&plan->rows);
    column_drop(&plan->numbers);
    column_drop(&plan->codes);
    column_drop(&plan->scores);
}

static void plan_free(Plan *plan) {
    for (int32_t i = 0; plan->declared && i < plan->features.table.used; i++) table_free(&plan->declared[i].categories);
    PyMem_Free(plan->declared);
    PyMem_Free(plan->tag_values);
    names_free(&plan->features);
    names_free(&plan->tags);
    names_free(&plan->classes);
    plan_drop_block(plan);
    Py_CLEAR(plan->prefix);
}

static bool utf8_of(PyObject *text, Span *span) {
    span->text = PyUnicode_AsUTF8AndSize(text, &span->size); /* TypeError when it is no str */
    return span->text != NULL;
}

static bool add_feature(Plan *plan, PyObject *name, Feature feature) {
    Span text;
    if (!utf8_of(name, &text)) return false;
    int32_t before = plan->features.table.used, slot = names_add(&plan->features, text);
    if (slot < 0) return false;
    if (slot < before)
        plan->declared[slot].kind = CONFLICT;
    else
        plan->declared[slot] = feature;
    return true;
}

/* (name, "string" | "boolean", known categories) */
static bool add_category(Plan *plan, PyObject *declared, Py_ssize_t column, uint64_t seed) {
    PyObject *name, *known;
    const char *kind;
    Feature feature = {.column = column, .categories.seed = seed};
    if (!PyTuple_Check(declared) || !PyArg_ParseTuple(declared, "UsO!:categories", &name, &kind, &PyTuple_Type, &known)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "a category must be a tuple (name, kind, categories)");
        return false;
    }
    if (strcmp(kind, "string") != 0 && strcmp(kind, "boolean") != 0) {
        PyErr_Format(PyExc_ValueError, "categories: kind '%s' of feature %R; it must be 'string' or 'boolean'", kind, name);
        return false;
    }
    feature.kind = kind[0] == 's' ? STRING : BOOLEAN;
    feature.other = feature.truths[0] = feature.truths[1] = (int32_t)PyTuple_GET_SIZE(known);
    for (int32_t code = 0; code < feature.other; code++) {
        Span text, ours;
        if (!utf8_of(PyTuple_GET_ITEM(known, code), &text)) goto failed;
        uint64_t hash = hash_of(&feature.categories, text);
        if (table_find(&feature.categories, text, hash) != STRANGER) {
            PyErr_Format(PyExc_ValueError, "categories of feature %R: %R is there twice; name each once", name,
                         PyTuple_GET_ITEM(known, code));
            goto failed;
        }
        if (table_add(&feature.categories, text, hash, &ours) < 0) goto failed;
        if (same(text, (Span){"false", 5})) feature.truths[0] = code;
        if (same(text, (Span){"true", 4})) feature.truths[1] = code;
    }
    int32_t before = plan->features.table.used;
    bool added = add_feature(plan, name, feature);
    if (plan->features.table.used == before) table_free(&feature.categories); /* nobody took it over */
    return added;
failed:
    table_free(&feature.categories);
    return false;
}

/* Names that must differ: tags or classes. */
static bool add_names(Names *names, PyObject *texts, const char *what, uint64_t seed) {
    Py_ssize_t count = PyTuple_GET_SIZE(texts);
    if (names_init(names, (size_t)count, seed) < 0) return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        Span text;
        if (!utf8_of(PyTuple_GET_ITEM(texts, i), &text)) return false;
        int32_t slot = names_add(names, text);
        if (slot < 0) return false;
        if (slot != i) {
            PyErr_Format(PyExc_ValueError, "%s: %R is there twice; name each once", what, PyTuple_GET_ITEM(texts, i));
            return false;
        }
    }
    return true;
}

/* Prepare a Plan tuple; false with an exception, and then plan_free is still to be called. */
static bool plan_init(Plan *plan, PyObject *given, uint64_t seed) {
    Span namespace, model;
    PyObject *space, *name, *numbers, *categories, *tags, *classes;
    const char *task;
    if (!PyTuple_Check(given)) {
        PyErr_Format(PyExc_TypeError, "plans must be tuples like Plan, got %R", given);
        return false;
    }
    if (!PyArg_ParseTuple(given, "UUO!O!O!sO!:Plan", &space, &name, &PyTuple_Type, &numbers, &PyTuple_Type, &categories,
                          &PyTuple_Type, &tags, &task, &PyTuple_Type, &classes))
        return false;
    plan->n_numbers = PyTuple_GET_SIZE(numbers);
    plan->n_categories = PyTuple_GET_SIZE(categories);
    plan->n_tags = PyTuple_GET_SIZE(tags);
    plan->n_classes = PyTuple_GET_SIZE(classes);
    bool fits;
    if (strcmp(task, "binary") == 0)
        plan->task = BINARY, fits = plan->n_classes == 1;
    else if (strcmp(task, "multiclass") == 0)
        plan->task = MULTICLASS, fits = plan->n_classes > 1;
    else
        plan->task = REGRESSION, fits = plan->n_classes == 0 && strcmp(task, "regression") == 0;
    if (!fits) {
        PyErr_Format(PyExc_ValueError,
                     "task '%s' with %zd classes; it must be 'binary' with the positive class, 'multiclass' with all "
                     "classes, or 'regression' with none",
                     task, plan->n_classes);
        return false;
    }
    if (!utf8_of(space, &namespace) || !utf8_of(name, &model)) return false;
    plan->prefix = PyBytes_FromFormat("%s/%s/", namespace.text, model.text);
    if (!plan->prefix) return false;
    plan->namespace_size = namespace.size;
    plan->model_size = model.size;
    if (PyBytes_GET_SIZE(plan->prefix) != namespace.size + model.size + 2) {
        PyErr_SetString(PyExc_ValueError, "a namespace or model with a zero in it; names are printable");
        return false;
    }
    size_t features = (size_t)(plan->n_numbers + plan->n_categories);
    plan->declared = PyMem_Calloc(features + 1, sizeof *plan->declared);
    plan->tag_values = PyMem_Calloc((size_t)plan->n_tags + 1, sizeof *plan->tag_values);
    if (!plan->declared || !plan->tag_values) return PyErr_NoMemory(), false;
    if (names_init(&plan->features, features, seed) < 0) return false;
    for (Py_ssize_t i = 0; i < plan->n_numbers; i++)
        if (!add_feature(plan, PyTuple_GET_ITEM(numbers, i), (Feature){.kind = NUMBER, .column = i})) return false;
    for (Py_ssize_t i = 0; i < plan->n_categories; i++)
        if (!add_category(plan, PyTuple_GET_ITEM(categories, i), i, seed)) return false;
    return add_names(&plan->tags, tags, "tags", seed) && add_names(&plan->classes, classes, "classes", seed);
}
