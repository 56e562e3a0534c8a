/// The step from 8-bit pixels to the vision transformer's input: `(x / 255 - mean) / deviation` per channel.
public struct ImageNormalization: Sendable, Equatable, Hashable, Codable {
    /// The mean of red, green and blue, each in 0 to 1.
    public var mean: SIMD3<Float>
    /// The standard deviation of red, green and blue.
    public var standardDeviation: SIMD3<Float>

    /// Makes a normalisation.
    public init(mean: SIMD3<Float>, standardDeviation: SIMD3<Float>) {
        self.mean = mean
        self.standardDeviation = standardDeviation
    }

    /// The values of CLIP, which the EVA-CLIP encoder of Uni-Med uses too.
    public static let clip = ImageNormalization(
        mean: [0.48145466, 0.4578275, 0.40821073],
        standardDeviation: [0.26862954, 0.26130258, 0.27577711]
    )

    /// The normalised picture, channel first.
    ///
    /// The division by 255, the subtraction and the division are rounded to float32 one after the other, as in the
    /// published code.
    ///
    /// - Returns: `[3, height, width]`, row-major.
    public func channelsFirst(_ image: RGBImage) -> [Float] {
        let count = image.width * image.height
        return [Float](unsafeUninitializedCapacity: 3 * count) { target, initialized in
            image.pixels.withUnsafeBufferPointer { pixels in
                for channel in 0..<3 {
                    // An 8-bit channel has 256 values, so each division is done once.
                    let (mean, deviation) = (mean[channel], standardDeviation[channel])
                    withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { table in
                        for value in 0..<256 { table[value] = (Float(value) / 255 - mean) / deviation }
                        for pixel in 0..<count {
                            target[channel * count + pixel] = table[Int(pixels[3 * pixel + channel])]
                        }
                    }
                }
            }
            initialized = 3 * count
        }
    }
}
