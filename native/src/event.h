/* What predictions and outcomes share: the decoder's memory, names, plans, codes, and a value that is a class. */
#pragma once

#include "instant.h"
#include "plan.h"

#define MAX_EVENT_BYTES 500000
#define LONGEST_NAME 200
#define MOST_CODES 65536
#define LONGEST_CODE 4096

/* Fields of both events; the first four come first in both, and each is required. */
enum { NAMESPACE, MODEL, PREDICTION_ID, EVENT_TIME, LABEL, N_OUTCOME_FIELDS };
enum { VERSION = LABEL, FEATURES, ANSWER, SCORES, LATENCY, SEGMENTS, ROLE, N_PREDICTION_FIELDS };
static const char *const OUTCOME_FIELDS[] = {"namespace", "model", "prediction_id", "event_time", "label"};
static const char *const PREDICTION_FIELDS[] = {"namespace", "model", "prediction_id", "event_time", "version", "features",
                                                "prediction", "scores", "latency_ms", "segments", "role"};

#define EMPTY_OBJECT (Span){"{}", 2}

/* Texts that get a code each, told to Python in a list. */
typedef struct {
    Table table;
    PyObject *list;
} Codes;

typedef struct {
    PyObject_HEAD
    Plan *plans;
    Py_ssize_t n_plans;
    Table models; /* `namespace\0model` -> plan */
    Plan *last;   /* of the event before */
    Names outcome_fields, prediction_fields;
    Codes versions, segments;
    bool busy;
} Decoder;

/* What both events have. */
typedef struct {
    Span namespace, model, id;
    Plan *plan;
    int64_t event_time;
} Event;

typedef struct {
    enum { NONE, TEXT, FLOAT, TRUTH } is;
    Span text;
    double number;
    bool truth;
    char written[32];
} Value;

static inline bool take_name(Cursor *c, Span *name) {
    /* The limit is in characters, and there are at most as many as bytes. */
    return token(c) == '"' && take_string(c, name) && name->size >= 1 && name->size <= LONGEST_NAME;
}

/* A string, number, true, false or null. */
static inline bool take_scalar(Cursor *c, Value *value) {
    switch (token(c)) {
        case '"': value->is = TEXT; return take_string(c, &value->text);
        case 't': value->is = TRUTH; value->truth = true; return take_word(c, "true", 4);
        case 'f': value->is = TRUTH; value->truth = false; return take_word(c, "false", 5);
        case 'n': value->is = NONE; return take_word(c, "null", 4);
        default: value->is = FLOAT; return take_number(c, &value->number);
    }
}

/* `schemas.events.class_name`, into the value's text; of null it is empty. False with MemoryError only. */
static bool value_text(Value *value) {
    switch (value->is) {
        case TEXT: return true;
        case NONE: value->text = (Span){"", 0}; return true;
        case TRUTH: value->text = value->truth ? (Span){"true", 4} : (Span){"false", 5}; return true;
        case FLOAT: break;
    }
    double number = value->number;
    value->text.text = value->written;
    if (fabs(number) < 0x1p53 && number == (double)(int64_t)number) {
        value->text.size = PyOS_snprintf(value->written, sizeof value->written, "%lld", (long long)number);
        return true;
    }
    char *text = PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL); /* as repr does */
    if (!text) return false;
    value->text.size = (Py_ssize_t)strlen(text); /* at most 24 */
    memcpy(value->written, text, (size_t)value->text.size + 1);
    PyMem_Free(text);
    return true;
}

static Plan *plan_of(Decoder *decoder, Span namespace, Span model) {
    Plan *last = decoder->last;
    if (last && same(namespace, (Span){PyBytes_AS_STRING(last->prefix), last->namespace_size}) &&
        same(model, (Span){PyBytes_AS_STRING(last->prefix) + last->namespace_size + 1, last->model_size}))
        return last;
    char key[2 * LONGEST_NAME + 1];
    memcpy(key, namespace.text, (size_t)namespace.size);
    key[namespace.size] = 0;
    memcpy(key + namespace.size + 1, model.text, (size_t)model.size);
    Span both = {key, namespace.size + 1 + model.size};
    int32_t found = table_find(&decoder->models, both, hash_of(&decoder->models, both));
    return found == STRANGER ? NULL : (decoder->last = &decoder->plans[found]);
}

/* One of the four fields of both events. */
static inline bool take_common(Decoder *decoder, Names *fields, int32_t field, Cursor *c, Event *event) {
    Span text;
    if (field == EVENT_TIME) return token(c) == '"' && take_string(c, &text) && instant_ms(text, &event->event_time);
    if (field == PREDICTION_ID) return take_name(c, &event->id);
    if (!take_name(c, field == NAMESPACE ? &event->namespace : &event->model)) return false;
    if (!names_had(fields, NAMESPACE) || !names_had(fields, MODEL)) return true;
    event->plan = plan_of(decoder, event->namespace, event->model);
    return event->plan != NULL;
}

/* The code of a text; -1 with an exception, or without one when there are too many. `told` makes the list's item. */
static int32_t code_of(Codes *codes, Span text, PyObject *(*told)(const void *), const void *source) {
    uint64_t hash = hash_of(&codes->table, text);
    int32_t code = table_find(&codes->table, text, hash);
    if (code != STRANGER || codes->table.used == MOST_CODES) return code;
    PyObject *item = told(source);
    if (!item) return -1;
    int failed = PyList_Append(codes->list, item);
    Py_DECREF(item);
    Span ours;
    if (failed) return -1;
    code = table_add(&codes->table, text, hash, &ours);
    /* A list that is one longer than the table would shift all later codes. */
    if (code < 0) (void)PyList_SetSlice(codes->list, codes->table.used, PY_SSIZE_T_MAX, NULL);
    return code;
}

/* murmur2 as Kafka's clients have it, without the sign (see streams/aggregate/routing.py). */
static inline uint32_t murmur2(Span key) {
    const uint32_t m = 0x5BD1E995;
    uint32_t hash = 0x9747B28C ^ (uint32_t)key.size, word;
    Py_ssize_t at = 0;
    for (; key.size - at >= 4; at += 4) {
        memcpy(&word, key.text + at, 4);
        word *= m;
        word ^= word >> 24;
        hash = hash * m ^ word * m;
    }
    if (at < key.size) {
        word = 0;
        memcpy(&word, key.text + at, (size_t)(key.size - at));
        hash = (hash ^ word) * m;
    }
    hash ^= hash >> 13;
    hash *= m;
    hash ^= hash >> 15;
    return hash & 0x7FFFFFFF;
}

/* Columns that both events have. */
typedef struct {
    Column model, event_time, hash;
    Texts keys, ids;
} Common;

static void common_drop(Common *common) {
    column_drop(&common->model);
    column_drop(&common->event_time);
    column_drop(&common->hash);
    texts_drop(&common->keys);
    texts_drop(&common->ids);
}

static int common_init(Common *common, Py_ssize_t rows) {
    if (!column_zeros(&common->model, rows * 4) || !column_zeros(&common->event_time, rows * 8) ||
        !column_zeros(&common->hash, rows * 4) || texts_init(&common->keys, rows) < 0 || texts_init(&common->ids, rows) < 0)
        return -1;
    memset(PyByteArray_AS_STRING(common->model.array), 0xFF, (size_t)rows * 4); /* -1 */
    return 0;
}

/* Row `row` is this event. 0, or -1 with an exception. */
static inline int common_add(Common *common, Decoder *decoder, Py_ssize_t row, const Event *event) {
    Span prefix = {PyBytes_AS_STRING(event->plan->prefix), PyBytes_GET_SIZE(event->plan->prefix)};
    Py_ssize_t begin = common->keys.data.used;
    if (texts_add(&common->keys, row, prefix) < 0 || texts_add(&common->keys, row, event->id) < 0) return -1;
    AT(common->model, int32_t, row) = (int32_t)(event->plan - decoder->plans);
    AT(common->event_time, int64_t, row) = event->event_time;
    Span key = {PyByteArray_AS_STRING(common->keys.data.array) + begin, common->keys.data.used - begin};
    AT(common->hash, uint32_t, row) = murmur2(key);
    return 0;
}

/* The event's bytes, when they may be one. */
static inline bool event_bytes(PyObject *value, Cursor *c) {
    if (!PyBytes_Check(value) || PyBytes_GET_SIZE(value) > MAX_EVENT_BYTES) return false;
    c->at = (const unsigned char *)PyBytes_AS_STRING(value);
    c->end = c->at + PyBytes_GET_SIZE(value);
    return true;
}
