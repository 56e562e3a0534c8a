import CImageCodecs

/// Bicubic resizing whose pixels equal those of Pillow 10's `Image.resize(size, Image.BICUBIC)`.
///
/// The kernel is the cubic convolution with a = -0.5, stretched by the scale when the picture shrinks (so that it is
/// antialiased). Weights are normalised and rounded to 22 binary places; the horizontal pass comes first and its result
/// is rounded and clipped to 8 bits before the vertical pass. A pass whose size already fits is left out. Newer versions
/// of Pillow may take the vertical pass first, which differs by up to 15 levels at sharp edges.
public enum PillowResizer {
    private static let precisionBits: Int32 = 22

    /// Resizes a picture without keeping its aspect ratio.
    ///
    /// - Precondition: Both sides of the picture and of the result are at least one pixel.
    public static func resize(_ image: RGBImage, width: Int, height: Int) -> RGBImage {
        precondition(image.width > 0 && image.height > 0, "a picture has at least one pixel")
        precondition(width > 0 && height > 0, "a picture is resized to at least one pixel")
        var result = image
        if width != image.width {
            result = resizeRows(result, width: width)
        }
        if height != image.height {
            result = resizeColumns(result, height: height)
        }
        return result
    }

    /// The source range and the fixed-point weights of every position of a side.
    private struct Weights {
        var starts: [Int32]
        var counts: [Int32]
        /// `stride` weights for each position, of which `counts` are used.
        var values: [Int32]
        var stride: Int

        init(from inputSize: Int, to outputSize: Int) {
            let scale = Double(inputSize) / Double(outputSize)
            let filterScale = max(scale, 1)
            let support = 2 * filterScale
            let inverse = 1 / filterScale
            stride = Int(support.rounded(.up)) * 2 + 1
            starts = []
            counts = []
            starts.reserveCapacity(outputSize)
            counts.reserveCapacity(outputSize)
            values = [Int32](repeating: 0, count: outputSize * stride)
            var unrounded = [Double](repeating: 0, count: stride)
            for position in 0..<outputSize {
                let center = (Double(position) + 0.5) * scale
                let start = max(0, Int(center - support + 0.5))
                let count = min(inputSize, Int(center + support + 0.5)) - start
                var sum = 0.0
                for tap in 0..<count {
                    unrounded[tap] = Self.bicubic((Double(tap + start) - center + 0.5) * inverse)
                    sum += unrounded[tap]
                }
                for tap in 0..<count {
                    let weight = (sum == 0 ? unrounded[tap] : unrounded[tap] / sum) * Double(1 << precisionBits)
                    values[position * stride + tap] = Int32(weight < 0 ? weight - 0.5 : weight + 0.5)
                }
                starts.append(Int32(start))
                counts.append(Int32(count))
            }
        }

        /// Calls a closure with the weights as the passes in C take them.
        func withCodecWeights(_ body: (inout image_codec_weights) -> Void) {
            starts.withUnsafeBufferPointer { starts in
                counts.withUnsafeBufferPointer { counts in
                    values.withUnsafeBufferPointer { values in
                        guard let first = starts.baseAddress, let numbers = counts.baseAddress,
                            let factors = values.baseAddress
                        else { return }
                        var weights = image_codec_weights(
                            count: starts.count,
                            starts: first,
                            counts: numbers,
                            values: factors,
                            stride: stride
                        )
                        body(&weights)
                    }
                }
            }
        }

        private static func bicubic(_ distance: Double) -> Double {
            let a = -0.5
            let x = abs(distance)
            if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
            if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
            return 0
        }
    }

    private static func resizeRows(_ image: RGBImage, width: Int) -> RGBImage {
        let weights = Weights(from: image.width, to: width)
        let pixels = [UInt8](unsafeUninitializedCapacity: width * image.height * 3) { target, count in
            image.pixels.withUnsafeBufferPointer { source in
                weights.withCodecWeights { weights in
                    guard let from = source.baseAddress, let to = target.baseAddress else { return }
                    let status = image_codec_resize_rows(from, image.width, image.height, 3, &weights, to)
                    precondition(UInt32(bitPattern: status) == IMAGE_CODEC_OK.rawValue, "there is memory for some rows")
                }
            }
            count = width * image.height * 3
        }
        return RGBImage(width: width, height: image.height, pixels: pixels)
    }

    private static func resizeColumns(_ image: RGBImage, height: Int) -> RGBImage {
        let weights = Weights(from: image.height, to: height)
        let rowCount = image.width * 3
        let pixels = [UInt8](unsafeUninitializedCapacity: rowCount * height) { target, count in
            image.pixels.withUnsafeBufferPointer { source in
                weights.withCodecWeights { weights in
                    guard let from = source.baseAddress, let to = target.baseAddress else { return }
                    image_codec_resize_columns(from, rowCount, &weights, to)
                }
            }
            count = rowCount * height
        }
        return RGBImage(width: image.width, height: height, pixels: pixels)
    }
}
