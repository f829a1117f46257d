/* @NAME@.c: a pruned network as code; @NAME@.h says how to use it.
 *
 * Only weights that are not zero are stored and multiplied. A convolution walks through
 * those of an output channel; each is one multiply-add for a block of pixels, which
 * lies in registers. For the columns of a kernel, the block moves by one pixel between
 * the columns, instead of unaligned loads. So what a VALID convolution computes for
 * column x is at x + 2, and the columns before it hold nothing of use. Images have rows
 * of 32 and, after pooling, of 16 columns; all real columns fit.
 *
 * Written by Shears. */

#include "@NAME@.h"

#include <stddef.h>
#include <stdint.h>

/* The number of floats in a vector; 1 is plain C. */
#ifndef SHEARS_LANES
#if !defined(__GNUC__)
#define SHEARS_LANES 1
#elif defined(__AVX512F__)
#define SHEARS_LANES 16
#elif defined(__AVX__)
#define SHEARS_LANES 8
#elif defined(__SSE2__) || defined(__aarch64__)
#define SHEARS_LANES 4
#else
#define SHEARS_LANES 1
#endif
#endif

/* The vectors of a block, of rows of 32 and of 16 columns. At least 8 hide the latency
 * of a multiply-add; all must fit into the registers. ROWS: rows of the second
 * convolution at a time, so that what it reads stays in the nearest cache. */
#if SHEARS_LANES == 16
enum { ROWS = 10, BLOCK_1 = 24, BLOCK_2 = 20, BLOCK_3 = 14, BLOCK_4 = 12 };
#elif SHEARS_LANES == 8
enum { ROWS = 6, BLOCK_1 = 8, BLOCK_2 = 12, BLOCK_3 = 14, BLOCK_4 = 12 };
#elif SHEARS_LANES == 4
enum { ROWS = 6, BLOCK_1 = 8, BLOCK_2 = 8, BLOCK_3 = 8, BLOCK_4 = 8 };
#else
enum { ROWS = 10, BLOCK_1 = 16, BLOCK_2 = 16, BLOCK_3 = 16, BLOCK_4 = 16 };
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define UNROLL _Pragma("GCC unroll 32")
#else
#define UNROLL
#endif

#if SHEARS_LANES > 1
/* Vectors stay within inlined functions; how they would be passed does not matter. */
#pragma GCC diagnostic ignored "-Wpsabi"
#define ALWAYS_INLINE inline __attribute__((always_inline))
typedef float vector
    __attribute__((vector_size(SHEARS_LANES * sizeof(float)), may_alias));
typedef float loose /* anywhere in memory */
    __attribute__((vector_size(SHEARS_LANES * sizeof(float)), aligned(4), may_alias));
typedef int32_t integers __attribute__((vector_size(SHEARS_LANES * sizeof(float))));
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (integers){__VA_ARGS__})
#endif
#if SHEARS_LANES == 16
#define LAST_THEN_FIRST 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif SHEARS_LANES == 8
#define LAST_THEN_FIRST 7, 8, 9, 10, 11, 12, 13, 14
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define LAST_THEN_FIRST 3, 4, 5, 6
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#endif
#else
#define ALWAYS_INLINE inline
typedef float vector, loose;
#endif

enum {
    CHANNELS_1 = @CHANNELS_1@,
    CHANNELS_2 = @CHANNELS_2@,
    CHANNELS_3 = @CHANNELS_3@,
    CHANNELS_4 = @CHANNELS_4@,
    UNITS = @UNITS@, /* of the dense hidden layer, with some of 0 up to a full group */
    GROUP = @GROUP@,   /* units that are computed together */
    INDICES = @INDICES@, /* of inputs for a weight of each: one for all, or one each */
    CLASSES = 10,
    IMAGE = 32 * 32 * 3,
    /* Floats of a channel: rows times columns, ... */
    PLANE_0 = 14 * 32, /* of the image; three copies, one for each column of a kernel */
    PLANE_1 = 12 * 32, /* of the first convolution; ROWS + 2 of its 32 rows at a time */
    PLANE_2 = 16 * 16, /* after pooling; the first row and column are 'same' padding */
    PLANE_3 = 14 * 16, /* of the third convolution; pooling leaves out its last row, */
    PLANE_4 = 12 * 16, /* and the fourth's */
    PLANE_5 = 6 * 8,   /* after pooling; the first two columns hold nothing */
    LANES = SHEARS_LANES
};

/* What is left of each kernel. `offset_*`: where a weight's row begins in the input, in
 * pairs of floats. `count_*`: the number of weights of each output channel and column.
 * `index_5`, `weight_5`: of GROUP units alternately; `count_5`: of each group. If all units
 * have all inputs, `index_5` lists them once. */
@TABLES@

/* Where the next channel's weights begin. */
struct cursor {
    const float *weight;
    const uint16_t *offset;
    const uint16_t *count;
    const float *bias;
};

static ALWAYS_INLINE vector fill(float x)
{
#if SHEARS_LANES > 1
    return x - (vector){0};
#else
    return x;
#endif
}

static ALWAYS_INLINE vector larger(vector a, vector b)
{
#if SHEARS_LANES > 1
    integers a_is = a > b;
    return (vector)(((integers)a & a_is) | ((integers)b & ~a_is));
#else
    return a > b ? a : b;
#endif
}

/* Moves rows of vectors to the right by one column. */
static ALWAYS_INLINE void move(const int block, const int row, vector *sums)
{
#if SHEARS_LANES > 1
    UNROLL
    for (int i = block - 1; i >= 0; i--) {
        vector before = i % row ? sums[i - 1] : fill(0);
        sums[i] = SHUFFLE(before, sums[i], LAST_THEN_FIRST);
    }
#else
    (void)block, (void)row, (void)sums;
#endif
}

/* Where a column of a kernel has weights, from the first to the last. */
enum pattern { ONE, TWO, THREE, TWO_APART, PATTERNS };

/* Adds a block of pixels times a column of weights. What is loaded is used for all of
 * them: loads are what limits the speed. Returns the number of weights. */
static ALWAYS_INLINE int accumulate(const enum pattern pattern, const int block,
                                    const int row, const float *weights,
                                    const vector *pixels, vector *sums)
{
    const int last = pattern == ONE ? 0 : pattern == TWO ? row : 2 * row;
    const int number = pattern == THREE ? 3 : pattern == ONE ? 1 : 2;
    const vector first = fill(weights[0]), second = fill(weights[number > 1]);
    const vector third = fill(weights[number - 1]);

    UNROLL
    for (int i = 0; i < block + last; i++) {
        vector pixel = pixels[i];
        if (i < block)
            sums[i] += first * pixel;
        if ((pattern == TWO || pattern == THREE) && i >= row && i < block + row)
            sums[i - row] += second * pixel;
        if ((pattern == THREE || pattern == TWO_APART) && i >= 2 * row)
            sums[i - 2 * row] += third * pixel;
    }
    return number;
}

/* Computes a channel of a convolution, and lets nothing below 0 pass, unless it will be
 * pooled.
 *
 * block, row: vectors of a block, and of a row. columns: 3; or 1, if the offsets know
 * the weights' columns. floats: of the output; a multiple of the block. */
static ALWAYS_INLINE void convolve(const int block, const int row, const int columns,
                                   const int pooled, const int floats,
                                   const float *input, struct cursor *cursor,
                                   float *output)
{
    const vector bias = fill(*cursor->bias++);
    struct cursor at = *cursor;
    for (int done = 0; done < floats; done += block * LANES) {
        vector sums[32];
        UNROLL
        for (int i = 0; i < block; i++)
            sums[i] = bias; /* moves along with them */
        at = *cursor;
        for (int column = 0; column < columns; column++) {
            const float *from = input + done;
            if (columns == 3 && LANES == 1)
                from += column - 2;
            else if (column)
                move(block, row, sums);
            UNROLL
            for (int pattern = ONE; pattern < PATTERNS; pattern++)
                for (unsigned left = *at.count++; left; left--) {
                    const vector *pixels = (const vector *)(from + 2 * *at.offset++);
                    at.weight += accumulate(pattern, block, row, at.weight, pixels, sums);
                }
        }
        vector *to = (vector *)(output + done);
        UNROLL
        for (int i = 0; i < block; i++)
            to[i] = pooled ? sums[i] : larger(sums[i], fill(0));
    }
    *cursor = at;
}

/* Takes the largest of each 2 x 2 pixels, and nothing below 0.
 *
 * step: vectors from one of the output to the next. */
static ALWAYS_INLINE void pool(const int rows, const int columns, const float *input,
                               const int step, float *output)
{
    const vector *from = (const vector *)input;
    const int row = columns / LANES;
#if SHEARS_LANES > 1
    for (int i = 0; i < rows * row / 2; i += 2) {
        int j = i + i / row * row, k = i + 1 + (i + 1) / row * row;
        vector a = larger(from[j], from[j + row]), b = larger(from[k], from[k + row]);
        a = larger(SHUFFLE(a, b, EVEN), SHUFFLE(a, b, ODD));
        ((vector *)output)[i / 2 * step] = larger(a, fill(0));
    }
#else
    for (int i = 0; i < rows * columns / 4; i++) {
        int j = 2 * i + 2 * i / row * row;
        float a = larger(from[j], from[j + 1]);
        a = larger(a, larger(from[j + row], from[j + row + 1]));
        output[i * step] = larger(a, 0);
    }
#endif
}

/* Copies rows of an image, a plane for each column of a kernel and each channel. */
static void load(const float *image, int first, float *planes)
{
    for (int i = 0; i < ROWS + 4; i++) {
        const float *pixel = image + (first + i) * 32 * 3;
        int inside = first + i >= 0 && first + i < 32;
        for (int channel = 0; channel < 3; channel++) {
            float *left = planes + channel * PLANE_0 + 32 * i;
            float *middle = left + 3 * PLANE_0, *right = middle + 3 * PLANE_0;
            for (int x = 0; x < 32; x++)
                middle[x] = inside ? pixel[3 * x + channel] : 0;
            left[0] = right[31] = 0;
            for (int x = 0; x < 31; x++) {
                left[x + 1] = middle[x];
                right[x] = middle[x + 1];
            }
        }
    }
}

/* The workspace, divided; all planes begin at a multiple of 64 bytes. */
struct places {
    float *planes_0, *planes_1, *plane, *planes_2, *planes_3, *features, *units;
    float *batch_features, *batch_units;
};

static struct places divide(struct @NAME@_workspace *workspace)
{
    uintptr_t past = (uintptr_t)workspace->memory % 64;
    struct places at;
    /* Plain C looks two floats before a row. */
    at.planes_0 = workspace->memory + (past ? 32 - past / sizeof(float) : 16);
    at.planes_1 = at.planes_0 + 9 * PLANE_0;
    at.planes_3 = at.planes_0; /* the others are not needed any more */
    at.plane = at.planes_0 + @SHARED@;
    at.planes_2 = at.plane + 320;
    at.features = at.planes_2 + CHANNELS_2 * PLANE_2;
    at.units = at.features + CHANNELS_4 * PLANE_5;
    at.batch_features = at.units + UNITS;
    at.batch_units = at.batch_features + CHANNELS_4 * PLANE_5 * LANES;
    return at;
}

static void first_and_second(const float *image, const struct places *at)
{
    for (int c = 0; c < CHANNELS_2; c++)
        for (int x = 0; x < 16; x++)
            at->planes_2[c * PLANE_2 + x] = 0;
    for (int y = 0; y < 30; y += ROWS) {
        struct cursor cursor = {weight_1, offset_1, count_1, bias_1};
        load(image, y - 1, at->planes_0);
        for (int c = 0; c < CHANNELS_1; c++) {
            float *to = at->planes_1 + c * PLANE_1;
            convolve(BLOCK_1, 32 / LANES, 1, 0, (ROWS + 2) * 32, at->planes_0, &cursor, to);
        }
        cursor = (struct cursor){weight_2, offset_2, count_2, bias_2};
        for (int c = 0; c < CHANNELS_2; c++) {
            float *to = at->planes_2 + c * PLANE_2 + 16 + y / 2 * 16;
            convolve(BLOCK_2, 32 / LANES, 3, 1, ROWS * 32, at->planes_1, &cursor, at->plane);
            pool(ROWS, 32, at->plane, 1, to);
            for (int i = 0; i < ROWS / 2; i++)
                to[16 * i] = 0;
        }
    }
}

static void third(const struct places *at)
{
    struct cursor cursor = {weight_3, offset_3, count_3, bias_3};
    for (int c = 0; c < CHANNELS_3; c++) {
        float *to = at->planes_3 + c * PLANE_3;
        convolve(BLOCK_3, 16 / LANES, 3, 0, PLANE_3, at->planes_2, &cursor, to);
    }
}

static ALWAYS_INLINE void fourth(const struct places *at, const int step,
                                 float *features)
{
    struct cursor cursor = {weight_4, offset_4, count_4, bias_4};
    for (int c = 0; c < CHANNELS_4; c++) {
        convolve(BLOCK_4, 16 / LANES, 3, 1, PLANE_4, at->planes_3, &cursor, at->plane);
        pool(12, 16, at->plane, step, features + c * PLANE_5 * step);
    }
}

void @NAME@_logits(const float *image, float *logits,
                   struct @NAME@_workspace *workspace)
{
    const struct places at = divide(workspace);
    const float *weight = weight_5;
    const uint16_t *index = index_5;

    first_and_second(image, &at);
    third(&at);
    fourth(&at, 1, at.features);
    for (int unit = 0; unit < UNITS; unit += GROUP) {
        float sums[GROUP];
        for (int i = 0; i < GROUP; i++)
            sums[i] = bias_5[unit + i];
        if (INDICES == 1)
            index = index_5;
        for (unsigned left = count_5[unit / GROUP]; left; left--) {
            UNROLL
            for (int i = 0; i < GROUP; i++)
                sums[i] += weight[i] * at.features[index[i % INDICES]];
            weight += GROUP;
            index += INDICES;
        }
        for (int i = 0; i < GROUP; i++)
            at.units[unit + i] = sums[i] > 0 ? sums[i] : 0;
    }
    vector sums[CLASSES];
    for (int i = 0; i < CLASSES; i++)
        sums[i] = fill(0);
    for (int unit = 0; unit < UNITS; unit += LANES)
        for (int i = 0; i < CLASSES; i++)
            sums[i] += *(const vector *)(at.units + unit) * *(const loose *)(weight_6[i] + unit);
    for (int i = 0; i < CLASSES; i++) {
        logits[i] = bias_6[i];
        for (int lane = 0; lane < LANES; lane++)
            logits[i] += ((const float *)&sums[i])[lane];
    }
}

#if SHEARS_LANES > 1 && !defined(@MACRO@_SINGLE)
/* Transposes a square of floats. */
static ALWAYS_INLINE void transpose(vector *square)
{
    vector now[LANES], next[LANES];

    UNROLL
    for (int i = 0; i < LANES; i++)
        now[i] = square[i];
    UNROLL
    for (int step = 1; step < LANES; step *= 2) {
        UNROLL
        for (int i = 0; i < LANES / 2; i++) {
            next[i] = SHUFFLE(now[2 * i], now[2 * i + 1], EVEN);
            next[i + LANES / 2] = SHUFFLE(now[2 * i], now[2 * i + 1], ODD);
        }
        UNROLL
        for (int i = 0; i < LANES; i++)
            now[i] = next[i];
    }
    UNROLL
    for (int i = 0; i < LANES; i++)
        square[i] = now[i];
}

/* Computes as many logits as a vector has floats: an image a lane in the dense layers. */
static void compute_lanes(const float *images, float *logits, const struct places *at)
{
    const float *weight = weight_5;
    const uint16_t *index = index_5;
    vector *features = (vector *)at->batch_features;
    vector *units = (vector *)at->batch_units;

    for (int lane = 0; lane < LANES; lane++) {
        first_and_second(images + lane * IMAGE, at);
        third(at);
        fourth(at, LANES, at->batch_features + lane * LANES);
    }
    for (int i = 0; i < CHANNELS_4 * PLANE_5 / LANES; i++)
        transpose(features + i * LANES);
    for (int unit = 0; unit < UNITS; unit += GROUP) {
        vector sums[GROUP];
        UNROLL
        for (int i = 0; i < GROUP; i++)
            sums[i] = fill(bias_5[unit + i]);
        if (INDICES == 1)
            index = index_5;
        for (unsigned left = count_5[unit / GROUP]; left; left--) {
            UNROLL
            for (int i = 0; i < GROUP; i++)
                sums[i] += fill(weight[i]) * features[index[i % INDICES]];
            weight += GROUP;
            index += INDICES;
        }
        UNROLL
        for (int i = 0; i < GROUP; i++)
            units[unit + i] = larger(sums[i], fill(0));
    }
    vector sums[CLASSES];
    UNROLL
    for (int i = 0; i < CLASSES; i++)
        sums[i] = fill(bias_6[i]);
    for (int unit = 0; unit < UNITS; unit++) {
        UNROLL
        for (int i = 0; i < CLASSES; i++)
            sums[i] += fill(weight_6[i][unit]) * units[unit];
    }
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < CLASSES; i++)
            logits[lane * CLASSES + i] = sums[i][lane];
}
#endif

void @NAME@_logits_batch(const float *images, size_t count, float *logits,
                         struct @NAME@_workspace *workspace)
{
#if SHEARS_LANES > 1 && !defined(@MACRO@_SINGLE)
    const struct places at = divide(workspace);

    for (; count >= LANES; count -= LANES) {
        compute_lanes(images, logits, &at);
        images += LANES * IMAGE;
        logits += LANES * CLASSES;
    }
#endif
    for (; count; count--) {
        @NAME@_logits(images, logits, workspace);
        images += IMAGE;
        logits += CLASSES;
    }
}
