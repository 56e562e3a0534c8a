#ifndef CMEDICALIMAGES_H
#define CMEDICALIMAGES_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Reading of DICOM files in memory: data sets and JPEG, JPEG-LS and RLE pixel data through DCMTK, JPEG 2000 through
 * OpenJPEG; and the inflating of gzip.
 *
 * Functions that can fail return one of the statuses below. On failure a text of one line stands in `message` (a buffer
 * of the caller, always terminated) and the out-parameters are untouched; it names elements by their tags and never
 * holds a value that could name a person. Nothing is printed, no exception leaves. A file may be read from several
 * threads at once once it is open. */

typedef enum medical_status {
    MEDICAL_OK = 0,
    MEDICAL_MALFORMED = 1,   /* truncated or corrupt */
    MEDICAL_UNSUPPORTED = 2, /* well-formed, of a kind that is not read */
    MEDICAL_TOO_LARGE = 3,   /* more than allowed */
    MEDICAL_OUT_OF_MEMORY = 4,
    MEDICAL_NO_IMAGE = 5     /* well-formed, without pixel data */
} medical_status;

enum { MEDICAL_MESSAGE_CAPACITY = 256 };

/* An open DICOM file. */
typedef struct medical_dicom medical_dicom;

/* How the pixels of a file lie. */
typedef struct medical_pixels {
    int32_t rows;
    int32_t columns;
    int32_t frames;
    int32_t samples; /* 1, or 3 */
    int32_t bits_allocated;
    int32_t bits_stored;
    int32_t is_signed;
    int32_t is_encapsulated;
} medical_pixels;

/* The colours of a decoded frame, which codecs may have changed. */
typedef enum medical_color {
    MEDICAL_COLOR_AS_NAMED = 0, /* as Photometric Interpretation says */
    MEDICAL_COLOR_RGB = 1,
    MEDICAL_COLOR_YBR_FULL = 2
} medical_color;

/* Opens the content of a file, which is copied. The data set is read up to the pixel data; of these the extent is
 * checked, nothing is decoded. */
int32_t medical_dicom_open(
    const uint8_t *bytes, size_t count, medical_dicom *_Nullable *_Nonnull file, char *message);

void medical_dicom_close(medical_dicom *_Nullable file);

/* The transfer syntax; lives as long as the file. */
const char *medical_dicom_transfer_syntax(const medical_dicom *file);

/* An element is named by its tag, or inside sequences by a path: tag of a sequence, number of the item, ..., tag. Tags
 * are group << 16 | element. */

/* The number of items of a sequence; 0 where there is none. */
int32_t medical_dicom_item_count(const medical_dicom *file, const uint32_t *path, size_t path_count);

/* The value as text (values separated by backslashes), cut to the capacity and terminated; returns the length of the
 * whole, -1 where there is no such element. */
int64_t medical_dicom_text(
    const medical_dicom *file, const uint32_t *path, size_t path_count, char *buffer, size_t capacity);

/* The values as numbers, as many as the capacity allows; returns the number of all values, -1 where there is no such
 * element or it is not made of numbers. */
int64_t medical_dicom_numbers(
    const medical_dicom *file, const uint32_t *path, size_t path_count, double *values, size_t capacity);

/* How the pixels lie; checks that they are there and that what is not compressed is complete. */
int32_t medical_dicom_pixels(
    const medical_dicom *file, size_t maximum_pixels, medical_pixels *pixels, char *message);

/* Decodes a frame into `rows * columns * samples` stored values, samples of a pixel beside each other, signs extended.
 * Values of 32 bits without sign stand with the same bits. */
int32_t medical_dicom_decode(
    const medical_dicom *file, size_t maximum_pixels, int32_t frame, int32_t *values, size_t capacity, int32_t *color,
    char *message);

/* Inflates gzip (also several members, one after the other); the result is allocated with malloc and released by
 * medical_free. */
int32_t medical_gunzip(
    const uint8_t *bytes, size_t count, size_t maximum_count, uint8_t *_Nullable *_Nonnull inflated,
    size_t *inflated_count, char *message);

void medical_free(void *_Nullable memory);

#ifdef __cplusplus
}
#endif

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
