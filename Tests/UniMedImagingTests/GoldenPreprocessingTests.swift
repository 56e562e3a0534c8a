import Foundation
import Testing
import UniMedImaging

// Skipped when the golden numbers are not there (UNIMED_GOLDEN).
@Suite("Preprocessing as the published code does it", .enabled(if: Golden.isPresent))
struct GoldenPreprocessingTests {
    /// The decoded picture of a case, which the fixtures keep as grey where all channels are equal.
    private func decodedReference(_ key: String, in file: TensorFile) throws -> RGBImage? {
        guard let bytes = file.bytes(key) else { return nil }
        let shape = try #require(file.shape(key))
        let pixels = shape.count == 3 ? bytes : bytes.flatMap { [$0, $0, $0] }
        return RGBImage(width: shape[1], height: shape[0], pixels: pixels)
    }

    private func largestDifference(_ a: RGBImage, _ b: RGBImage) -> Int {
        zip(a.pixels, b.pixels).reduce(0) { max($0, abs(Int($1.0) - Int($1.1))) }
    }

    @Test(arguments: Golden.cases)
    func `a decoded picture has Pillow's pixels`(_ testCase: Golden.Case) throws {
        let image = try ImageDecoder.decode(contentsOf: testCase.url, sixteenBitGray: .clip)
        #expect(image.width == testCase.width)
        #expect(image.height == testCase.height)
        if let reference = try decodedReference(testCase.key, in: TensorFile("decoded_rgb.safetensors")) {
            // JPEG decoders may differ by a few levels in the inverse transform and the chroma upsampling.
            #expect(largestDifference(image, reference) <= (testCase.isLossless ? 0 : 3))
        }
    }

    @Test(arguments: Golden.cases)
    func `the header alone gives the size`(_ testCase: Golden.Case) throws {
        let size = try ImageFile.size(of: testCase.url)
        #expect(size == ImageFile.Size(width: testCase.width, height: testCase.height))
    }

    @Test func `resizing the decoded pixels gives exactly Pillow's numbers`() throws {
        let decoded = try TensorFile("decoded_rgb.safetensors")
        let expected = try TensorFile("expected_resized.safetensors")
        var compared = 0
        for testCase in Golden.cases {
            guard let image = try decodedReference(testCase.key, in: decoded) else { continue }
            let reference = try #require(expected.bytes(testCase.key))
            let resized = PillowResizer.resize(image, width: 224, height: 224)
            #expect(resized.pixels == reference, "\(testCase.key)")
            compared += 1
        }
        #expect(compared > 0)
    }

    @Test(arguments: Golden.cases)
    func `decoding and resizing together keep the mean of every channel`(_ testCase: Golden.Case) throws {
        let image = try ImageDecoder.decode(contentsOf: testCase.url, sixteenBitGray: .clip)
        let resized = PillowResizer.resize(image, width: 224, height: 224)
        for channel in 0..<3 {
            let sum = stride(from: channel, to: resized.pixels.count, by: 3).reduce(0) { $0 + Int(resized.pixels[$1]) }
            // The sum of integers is exact; a JPEG decoder may move it a little.
            let mean = Double(sum) / Double(224 * 224)
            #expect(abs(mean - testCase.resized_mean[channel]) <= (testCase.isLossless ? 1e-9 : 0.05))
        }
    }

    @Test(arguments: ["jpeg_rgb_420", "png_palette"])
    func `normalised pixels equal the reference tensors`(_ key: String) throws {
        let manifest = try Golden.manifest()
        let normalization = ImageNormalization.clip
        #expect((0..<3).allSatisfy { normalization.mean[$0] == manifest.mean[$0] })
        #expect((0..<3).allSatisfy { normalization.standardDeviation[$0] == manifest.std[$0] })
        let expected = try TensorFile("expected_resized.safetensors")
        let resized = RGBImage(width: 224, height: 224, pixels: try #require(expected.bytes(key)))
        // The same roundings in the same order: no tolerance is needed.
        #expect(normalization.channelsFirst(resized) == expected.floats("\(key)_float_chw"))
    }

    @Test func `a 12-bit picture keeps its contrast by default and loses it when clipped`() throws {
        let url = Golden.folder.appending(path: "images/png_gray16.png")
        let clipped = try ImageDecoder.decode(contentsOf: url, sixteenBitGray: .clip)
        let ranged = try ImageDecoder.decode(contentsOf: url)
        #expect(ranged.pixels.min() == 0)
        #expect(ranged.pixels.max() == 255)
        #expect(Set(ranged.pixels).count > 100)
        #expect(clipped.pixels.filter { $0 == 255 }.count > ranged.pixels.filter { $0 == 255 }.count * 10)
    }
}
