#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "support.h"

/* A progressive file may claim any number of scans, each of which costs a pass over the picture. */
enum { MAXIMUM_SCANS = 500 };

/* libjpeg's managers come first, so that a pointer to the one is a pointer to the other. */
typedef struct jpeg_error_state {
    struct jpeg_error_mgr manager;
    jmp_buf jump;
    int32_t status;
    char *message;
} jpeg_error_state;

typedef struct jpeg_reader {
    struct jpeg_decompress_struct info;
    jpeg_error_state error;
    struct jpeg_progress_mgr progress;
    image_codec_picture picture;
} jpeg_reader;

typedef struct jpeg_writer {
    struct jpeg_compress_struct info;
    jpeg_error_state error;
    unsigned char *encoded;
    unsigned long encoded_count;
} jpeg_writer;

static void jpeg_failed(j_common_ptr info) {
    jpeg_error_state *error = (jpeg_error_state *)info->err;
    if (error->status == IMAGE_CODEC_OK) {
        char text[JMSG_LENGTH_MAX];
        error->manager.format_message(info, text);
        error->status = image_codec_fail(error->message, IMAGE_CODEC_MALFORMED, "%s", text);
    }
    longjmp(error->jump, 1);
}

/* Most warnings are harmless; these two mean that part of the picture would be invented. */
static void jpeg_noted(j_common_ptr info, int level) {
    int code = info->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) jpeg_failed(info);
}

static void jpeg_muted(j_common_ptr info) {
    (void)info;
}

static void jpeg_progressed(j_common_ptr info) {
    j_decompress_ptr decompress = (j_decompress_ptr)info;
    if (decompress->input_scan_number > MAXIMUM_SCANS) {
        jpeg_error_state *error = (jpeg_error_state *)info->err;
        error->status = image_codec_fail(
            error->message, IMAGE_CODEC_TOO_LARGE, "more than %d scans", (int)MAXIMUM_SCANS);
        longjmp(error->jump, 1);
    }
}

static void jpeg_error_state_set(jpeg_error_state *error, char *message) {
    jpeg_std_error(&error->manager);
    error->manager.error_exit = jpeg_failed;
    error->manager.emit_message = jpeg_noted;
    error->manager.output_message = jpeg_muted;
    error->message = message;
    message[0] = 0;
}

static void jpeg_reader_decode(jpeg_reader *reader, const uint8_t *bytes, size_t count, size_t maximum_pixels) {
    if (setjmp(reader->error.jump)) return;
    j_decompress_ptr info = &reader->info;
    jpeg_create_decompress(info);
    reader->progress.progress_monitor = jpeg_progressed;
    info->progress = &reader->progress;
    jpeg_mem_src(info, (unsigned char *)bytes, (unsigned long)count);
    jpeg_read_header(info, TRUE);

    int32_t layout;
    switch (info->jpeg_color_space) {
    case JCS_GRAYSCALE:
        layout = IMAGE_CODEC_GRAY8;
        info->out_color_space = JCS_GRAYSCALE;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        layout = IMAGE_CODEC_CMYK8;
        info->out_color_space = JCS_CMYK;
        break;
    case JCS_RGB:
    case JCS_YCbCr:
        layout = IMAGE_CODEC_RGB8;
        info->out_color_space = JCS_RGB;
        break;
    default:
        reader->error.status = image_codec_fail(
            reader->error.message, IMAGE_CODEC_UNSUPPORTED, "a JPEG file of %d components", info->num_components);
        return;
    }
    int32_t status = image_codec_allocate(
        info->image_width, info->image_height, layout, maximum_pixels, &reader->picture, reader->error.message);
    if (status != IMAGE_CODEC_OK) {
        reader->error.status = status;
        return;
    }

    jpeg_start_decompress(info);
    size_t row_bytes = reader->picture.byte_count / info->image_height;
    while (info->output_scanline < info->output_height) {
        JSAMPROW row = reader->picture.samples + (size_t)info->output_scanline * row_bytes;
        jpeg_read_scanlines(info, &row, 1);
    }
    if (layout == IMAGE_CODEC_CMYK8) {
        /* Four-component files hold inverted inks: Adobe's convention, which everyone follows. */
        for (size_t i = 0; i < reader->picture.byte_count; i++) {
            reader->picture.samples[i] = (uint8_t)~reader->picture.samples[i];
        }
    }
}

int32_t image_codec_decode_jpeg(
    const uint8_t *bytes, size_t count, size_t maximum_pixels, image_codec_picture *picture, char *message) {
    jpeg_reader reader;
    memset(&reader, 0, sizeof reader);
    jpeg_error_state_set(&reader.error, message);
    reader.info.err = &reader.error.manager;
    jpeg_reader_decode(&reader, bytes, count, maximum_pixels);
    jpeg_destroy_decompress(&reader.info);
    if (reader.error.status != IMAGE_CODEC_OK) {
        free(reader.picture.samples);
        return reader.error.status;
    }
    *picture = reader.picture;
    return IMAGE_CODEC_OK;
}

static void jpeg_writer_encode(
    jpeg_writer *writer, const uint8_t *rgb, int32_t width, int32_t height, int32_t quality, int32_t full_chroma) {
    if (setjmp(writer->error.jump)) return;
    j_compress_ptr info = &writer->info;
    jpeg_create_compress(info);
    jpeg_mem_dest(info, &writer->encoded, &writer->encoded_count);
    info->image_width = (JDIMENSION)width;
    info->image_height = (JDIMENSION)height;
    info->input_components = 3;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, quality, TRUE);
    info->optimize_coding = TRUE;
    if (full_chroma) {
        info->comp_info[0].h_samp_factor = 1;
        info->comp_info[0].v_samp_factor = 1;
    }
    jpeg_start_compress(info, TRUE);
    while (info->next_scanline < info->image_height) {
        JSAMPROW row = (JSAMPROW)(rgb + (size_t)info->next_scanline * (size_t)width * 3);
        jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
}

int32_t image_codec_encode_jpeg(
    const uint8_t *rgb, int32_t width, int32_t height, int32_t quality, int32_t full_chroma, uint8_t **encoded,
    size_t *encoded_count, char *message) {
    jpeg_writer writer;
    memset(&writer, 0, sizeof writer);
    jpeg_error_state_set(&writer.error, message);
    writer.info.err = &writer.error.manager;
    jpeg_writer_encode(&writer, rgb, width, height, quality, full_chroma);
    jpeg_destroy_compress(&writer.info);
    if (writer.error.status != IMAGE_CODEC_OK) {
        free(writer.encoded);
        return writer.error.status;
    }
    *encoded = writer.encoded;
    *encoded_count = writer.encoded_count;
    return IMAGE_CODEC_OK;
}
