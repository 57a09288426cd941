/* The extension module: the type Decoder and what it returns, and the kernels. Nothing is global. */
#include "ids.h"
#include "outcome.h"
#include "prediction.h"

#include <structmember.h>

typedef struct {
    PyTypeObject *predictions, *outcomes;
} State;

static PyStructSequence_Field PREDICTIONS[] = {
    {"model", "int32: place of the plan; -1: the careful decoder's row"},
    {"event_time", "int64: milliseconds since 1970"},
    {"hash", "uint32: murmur2 of the key, without the sign"},
    {"keys", "(offsets, data) of namespace/model/prediction_id; empty where model is -1"},
    {"version", "int32: code, see Decoder.versions"},
    {"role", "int8: 0 champion, 1 canary, 2 shadow"},
    {"segment", "int32: code, see Decoder.segments"},
    {"score", "float64: the watched score, NaN: none"},
    {"place", "int32: place of the predicted class, -1: not multiclass"},
    {"latency", "float64: milliseconds, NaN: none"},
    {"blocks", "plan -> (rows, numbers, codes, scores)"},
    {"texts", "name -> (offsets, data)"},
    {NULL, NULL}};

static PyStructSequence_Field OUTCOMES[] = {
    {"model", "int32: place of the plan; -1: the careful decoder's row"},
    {"event_time", "int64: milliseconds since 1970"},
    {"hash", "uint32: murmur2 of the key, without the sign"},
    {"keys", "(offsets, data) of namespace/model/prediction_id; empty where model is -1"},
    {"target", "float64: the label as a number"},
    {"texts", "name -> (offsets, data)"},
    {NULL, NULL}};

static PyStructSequence_Desc PREDICTIONS_TYPE = {
    "driftline_native.Predictions", "Columns of a batch of predictions.", PREDICTIONS, 12};
static PyStructSequence_Desc OUTCOMES_TYPE = {
    "driftline_native.Outcomes", "Columns of a batch of outcomes.", OUTCOMES, 6};

static void decoder_dealloc(Decoder *self) {
    PyTypeObject *type = Py_TYPE(self);
    for (Py_ssize_t i = 0; i < self->n_plans; i++) plan_free(&self->plans[i]);
    PyMem_Free(self->plans);
    table_free(&self->models);
    names_free(&self->outcome_fields);
    names_free(&self->prediction_fields);
    table_free(&self->versions.table);
    table_free(&self->segments.table);
    Py_CLEAR(self->versions.list);
    Py_CLEAR(self->segments.list);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static bool add_fields(Names *names, const char *const *texts, size_t count, uint64_t seed) {
    if (names_init(names, count, seed) < 0) return false;
    for (size_t i = 0; i < count; i++)
        if (names_add(names, (Span){texts[i], (Py_ssize_t)strlen(texts[i])}) < 0) return false;
    return true;
}

static bool add_model(Decoder *self, const Plan *plan, PyObject *given, uint64_t seed) {
    Py_ssize_t size = PyBytes_GET_SIZE(plan->prefix) - 1; /* without the last slash */
    PyObject *key = PyBytes_FromStringAndSize(PyBytes_AS_STRING(plan->prefix), size);
    if (!key) return false;
    PyBytes_AS_STRING(key)[plan->namespace_size] = 0; /* a byte that no name has */
    Span text = {PyBytes_AS_STRING(key), size}, ours;
    self->models.seed = seed;
    uint64_t hash = hash_of(&self->models, text);
    bool there = table_find(&self->models, text, hash) != STRANGER;
    if (there) PyErr_Format(PyExc_ValueError, "two plans of one model: %R; make one plan of all its generations", given);
    bool added = !there && table_add(&self->models, text, hash, &ours) >= 0;
    Py_DECREF(key);
    return added;
}

static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"plans", NULL};
    PyObject *given, *plans;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Decoder", names, &given)) return NULL;
    plans = PySequence_Tuple(given);
    if (!plans) return NULL;
    Decoder *self = (Decoder *)type->tp_alloc(type, 0);
    if (!self) goto failed;
    uint64_t seed;
    if (!secret(&seed)) goto failed;
    self->versions.table.seed = self->segments.table.seed = seed;
    self->versions.list = PyList_New(0);
    self->segments.list = PyList_New(0);
    Py_ssize_t count = PyTuple_GET_SIZE(plans);
    self->plans = PyMem_Calloc((size_t)count + 1, sizeof *self->plans);
    if (!self->versions.list || !self->segments.list) goto failed;
    if (!self->plans) {
        PyErr_NoMemory();
        goto failed;
    }
    if (!add_fields(&self->outcome_fields, OUTCOME_FIELDS, N_OUTCOME_FIELDS, seed) ||
        !add_fields(&self->prediction_fields, PREDICTION_FIELDS, N_PREDICTION_FIELDS, seed))
        goto failed;
    for (Py_ssize_t i = 0; i < count; i++) {
        Plan *plan = &self->plans[self->n_plans++];
        PyObject *item = PyTuple_GET_ITEM(plans, i);
        if (!plan_init(plan, item, seed) || !add_model(self, plan, item, seed)) goto failed;
    }
    Py_DECREF(plans);
    return (PyObject *)self;
failed:
    Py_DECREF(plans);
    Py_XDECREF(self);
    return NULL;
}

/* Add (offsets, data) under a name; false with an exception. */
static bool put_texts(PyObject *dict, const char *name, Texts *texts) {
    PyObject *both = texts_taken(texts);
    bool put = both && PyDict_SetItemString(dict, name, both) == 0;
    Py_XDECREF(both);
    return put;
}

/* Make the named tuple; takes over all items, of which any may be NULL with an exception. */
static PyObject *assembled(PyTypeObject *type, PyObject **items, Py_ssize_t count) {
    PyObject *made = PyErr_Occurred() ? NULL : PyStructSequence_New(type);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (made) PyStructSequence_SET_ITEM(made, i, items[i]);
        else Py_XDECREF(items[i]);
    }
    return made;
}

/* The arguments of both methods: (values as a tuple of our own, texts); NULL with an exception. */
static PyObject *begun(Decoder *self, PyObject *args, PyObject *kwargs, const char *format, bool *with_texts) {
    static char *names[] = {"values", "texts", NULL};
    PyObject *values;
    int texts;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &values, &texts)) return NULL;
    if (self->busy) { /* a finaliser of the garbage collector may call anything */
        PyErr_SetString(PyExc_RuntimeError, "the decoder is at work: it decodes one batch at a time");
        return NULL;
    }
    *with_texts = texts;
    PyObject *own = PySequence_Tuple(values); /* the caller's list may change under us */
    if (own && PyTuple_GET_SIZE(own) >= INT32_MAX) {
        Py_CLEAR(own);
        PyErr_SetString(PyExc_OverflowError, "rows are numbered in 31 bits: hand over fewer events at once");
    }
    self->busy = own != NULL;
    return own;
}

static PyObject *decoder_predictions(Decoder *self, PyObject *args, PyObject *kwargs) {
    Predictions out = {0};
    PyObject *made = NULL, *values = begun(self, args, kwargs, "Op:predictions", &out.with_texts);
    if (!values) return NULL;
    Py_ssize_t rows = PyTuple_GET_SIZE(values);
    if (predictions_init(&out, rows) < 0) goto done;
    for (Py_ssize_t row = 0; row < rows; row++) {
        Cursor c;
        Prediction found;
        bool sure = event_bytes(PyTuple_GET_ITEM(values, row), &c) && read_prediction(self, c, &found);
        if (!sure && PyErr_Occurred()) goto done;
        if (sure && add_prediction(&out, self, row, &found) < 0) goto done;
        if (!sure && add_no_texts(&out, row) < 0) goto done;
    }
    PyObject *texts = PyDict_New();
    if (texts && out.with_texts &&
        !(put_texts(texts, "prediction_id", &out.common.ids) && put_texts(texts, "prediction", &out.answers) &&
          put_texts(texts, "scores", &out.scores) && put_texts(texts, "features", &out.features) &&
          put_texts(texts, "segments", &out.segments)))
        Py_CLEAR(texts);
    PyObject *items[] = {column_taken(&out.common.model), column_taken(&out.common.event_time),
                         column_taken(&out.common.hash),  texts_taken(&out.common.keys),
                         column_taken(&out.version),      column_taken(&out.role),
                         column_taken(&out.segment),      column_taken(&out.score),
                         column_taken(&out.place),        column_taken(&out.latency),
                         blocks_taken(self),              texts};
    State *state = PyType_GetModuleState(Py_TYPE(self));
    made = assembled(state->predictions, items, sizeof items / sizeof *items);
done:
    predictions_drop(&out);
    for (Py_ssize_t i = 0; i < self->n_plans; i++) plan_drop_block(&self->plans[i]);
    Py_DECREF(values);
    self->busy = false;
    return made;
}

static PyObject *decoder_outcomes(Decoder *self, PyObject *args, PyObject *kwargs) {
    Outcomes out = {0};
    PyObject *made = NULL, *values = begun(self, args, kwargs, "Op:outcomes", &out.with_texts);
    if (!values) return NULL;
    Py_ssize_t rows = PyTuple_GET_SIZE(values);
    if (outcomes_init(&out, rows) < 0) goto done;
    for (Py_ssize_t row = 0; row < rows; row++) {
        Cursor c;
        Outcome found;
        bool sure = event_bytes(PyTuple_GET_ITEM(values, row), &c) && read_outcome(self, c, &found);
        if (!sure && PyErr_Occurred()) goto done;
        if (sure && add_outcome(&out, self, row, &found) < 0) goto done;
        if (!sure && add_no_outcome_texts(&out, row) < 0) goto done;
    }
    PyObject *texts = PyDict_New();
    if (texts && out.with_texts &&
        !(put_texts(texts, "prediction_id", &out.common.ids) && put_texts(texts, "label", &out.labels)))
        Py_CLEAR(texts);
    PyObject *items[] = {column_taken(&out.common.model), column_taken(&out.common.event_time),
                         column_taken(&out.common.hash),  texts_taken(&out.common.keys),
                         column_taken(&out.target),       texts};
    State *state = PyType_GetModuleState(Py_TYPE(self));
    made = assembled(state->outcomes, items, sizeof items / sizeof *items);
done:
    outcomes_drop(&out);
    Py_DECREF(values);
    self->busy = false;
    return made;
}

static PyMethodDef DECODER_METHODS[] = {
    {"predictions", (PyCFunction)(void (*)(void))decoder_predictions, METH_VARARGS | METH_KEYWORDS,
     "predictions(values, texts): columns of predictions"},
    {"outcomes", (PyCFunction)(void (*)(void))decoder_outcomes, METH_VARARGS | METH_KEYWORDS,
     "outcomes(values, texts): columns of outcomes"},
    {NULL, NULL, 0, NULL}};

static PyMemberDef DECODER_MEMBERS[] = {
    {"versions", T_OBJECT_EX, offsetof(Decoder, versions.list), READONLY, "code -> model version"},
    {"segments", T_OBJECT_EX, offsetof(Decoder, segments.list), READONLY, "code -> (tag=value, ...)"},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot DECODER_SLOTS[] = {
    {Py_tp_new, decoder_new},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_methods, DECODER_METHODS},
    {Py_tp_members, DECODER_MEMBERS},
    {Py_tp_doc, "Decodes batches of JSON events into columns."},
    {0, NULL}};

static PyType_Spec DECODER = {
    .name = "driftline_native.Decoder",
    .basicsize = sizeof(Decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = DECODER_SLOTS,
};

static int module_exec(PyObject *module) {
    crc_prepare();
    State *state = PyModule_GetState(module);
    state->predictions = PyStructSequence_NewType(&PREDICTIONS_TYPE);
    state->outcomes = PyStructSequence_NewType(&OUTCOMES_TYPE);
    if (!state->predictions || !state->outcomes) return -1;
    PyObject *decoder = PyType_FromModuleAndSpec(module, &DECODER, NULL);
    int failed = !decoder || PyModule_AddObjectRef(module, "Decoder", decoder) < 0 ||
                 PyModule_AddObjectRef(module, "Predictions", (PyObject *)state->predictions) < 0 ||
                 PyModule_AddObjectRef(module, "Outcomes", (PyObject *)state->outcomes) < 0 ||
                 PyModule_AddIntConstant(module, "MAX_EVENT_BYTES", MAX_EVENT_BYTES) < 0;
    Py_XDECREF(decoder);
    PyObject *ids = failed ? NULL : PyType_FromModuleAndSpec(module, &IDS, NULL);
    failed = failed || !ids || PyModule_AddObjectRef(module, "Ids", ids) < 0;
    Py_XDECREF(ids);
    return failed ? -1 : 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    State *state = PyModule_GetState(module);
    Py_VISIT(state->predictions);
    Py_VISIT(state->outcomes);
    return 0;
}

static int module_clear(PyObject *module) {
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->predictions);
    Py_CLEAR(state->outcomes);
    return 0;
}

static void module_free(void *module) { (void)module_clear(module); }

static PyMethodDef FUNCTIONS[] = {
    {"numeric", numeric, METH_VARARGS, "numeric(values, groups, n_groups, edges, low, high): counts of numbers by group"},
    {"categorical", categorical, METH_VARARGS, "categorical(codes, groups, n_groups, n_categories): counts of codes by group"},
    {"checksums", checksums, METH_VARARGS, "checksums(data, start, size): CRC-32 of each key"},
    {"mark", mark, METH_VARARGS, "mark(bits, first, step, each): set bits of each row in a field"},
    {"prefixed", prefixed, METH_VARARGS, "prefixed(prefix, offsets, data): (data, hashes) of keys that begin with the prefix"},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot MODULE_SLOTS[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "driftline_native._native",
    .m_doc = "See driftline_native.",
    .m_size = sizeof(State),
    .m_methods = FUNCTIONS,
    .m_slots = MODULE_SLOTS,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&MODULE); }
