import Foundation
import Testing
import UniMedImaging

@Suite("Image writing")
struct ImageWritingTests {
    private var gradient: RGBImage {
        var image = RGBImage(width: 61, height: 47, color: RGBColor(red: 0, green: 0, blue: 0))
        for y in 0..<image.height {
            for x in 0..<image.width {
                image[x, y] = RGBColor(red: UInt8(x * 4), green: UInt8(y * 5), blue: UInt8(x + y))
            }
        }
        return image
    }

    @Test func `a picture survives PNG unchanged`() throws {
        for compression in [0, 1, 6, 9] {
            let data = Data(try PNGEncoder.encode(gradient, compression: compression))
            #expect(try ImageDecoder.decode(data: data, name: "png") == gradient)
            #expect(try ImageFile.size(ofData: data, name: "png") == ImageFile.Size(width: 61, height: 47))
        }
    }

    @Test func `a picture survives JPEG within its loss`() throws {
        func error(_ quality: Int, _ chroma: JPEGEncoder.Chroma) throws -> Double {
            let data = Data(try JPEGEncoder.encode(gradient, quality: quality, chroma: chroma))
            let image = try ImageDecoder.decode(data: data, name: "jpeg")
            #expect(try ImageFile.size(ofData: data, name: "jpeg") == ImageFile.Size(width: 61, height: 47))
            let sum = zip(image.pixels, gradient.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
            return Double(sum) / Double(gradient.pixels.count)
        }
        let fine = try error(95, .full)
        #expect(fine < 2)
        #expect(try error(20, .quarter) > fine)
    }

    @Test func `a rectangle is drawn inside its edges and cut at the border`() {
        let black = RGBColor(red: 0, green: 0, blue: 0)
        let white = RGBColor(red: 255, green: 255, blue: 255)
        var image = RGBImage(width: 20, height: 10, color: black)
        image.strokeRectangle(xMin: 2, yMin: 1, xMax: 12, yMax: 9, color: white, thickness: 2)
        let drawn = (0..<10).flatMap { y in (0..<20).filter { image[$0, y] == white }.map { [$0, y] } }
        #expect(drawn.count == 10 * 8 - 6 * 4)
        #expect(drawn.allSatisfy { (2..<12).contains($0[0]) && (1..<9).contains($0[1]) })
        #expect(image[3, 2] == white)
        #expect(image[4, 3] == black)

        var outside = RGBImage(width: 20, height: 10, color: black)
        outside.strokeRectangle(xMin: -1e30, yMin: -5, xMax: 1e30, yMax: .infinity, color: white)
        #expect(outside.pixels.allSatisfy { $0 == 0 })
        outside.strokeRectangle(xMin: -5, yMin: -5, xMax: 4, yMax: 4, color: white, thickness: 1)
        #expect(outside[3, 0] == white)
        #expect(outside[0, 3] == white)
        #expect(outside[1, 1] == black)
    }
}

@Suite("Resizing")
struct ResizingTests {
    /// The textbook form of the two passes: every place a weighted sum in fixed point, rounded and clipped.
    private func textbook(_ image: RGBImage, width: Int, height: Int) -> RGBImage {
        func weights(from input: Int, to output: Int, at position: Int) -> (start: Int, values: [Int]) {
            let scale = Double(input) / Double(output)
            let stretch = max(scale, 1)
            let center = (Double(position) + 0.5) * scale
            let start = max(0, Int(center - 2 * stretch + 0.5))
            let end = min(input, Int(center + 2 * stretch + 0.5))
            let values = (start..<end).map { place -> Double in
                let x = abs((Double(place) - center + 0.5) * (1 / stretch))
                if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
                return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0
            }
            let sum = values.reduce(0, +)
            return (start, values.map { Int(($0 / sum * 4_194_304).rounded(.toNearestOrAwayFromZero)) })
        }
        func pass(_ from: RGBImage, count: Int, isRow: Bool) -> RGBImage {
            let (width, height) = isRow ? (count, from.height) : (from.width, count)
            var pixels = [UInt8](repeating: 0, count: width * height * 3)
            for y in 0..<height {
                for x in 0..<width {
                    let (start, values) = weights(
                        from: isRow ? from.width : from.height,
                        to: count,
                        at: isRow ? x : y
                    )
                    for channel in 0..<3 {
                        var sum = 1 << 21
                        for (tap, value) in values.enumerated() {
                            let place = isRow ? y * from.width + start + tap : (start + tap) * from.width + x
                            sum += Int(from.pixels[place * 3 + channel]) * value
                        }
                        pixels[(y * width + x) * 3 + channel] = UInt8(max(0, min(255, sum >> 22)))
                    }
                }
            }
            return RGBImage(width: width, height: height, pixels: pixels)
        }
        var result = image
        if width != image.width { result = pass(result, count: width, isRow: true) }
        if height != image.height { result = pass(result, count: height, isRow: false) }
        return result
    }

    @Test(arguments: [
        (1, 1, 5, 3), (3, 40, 7, 16), (33, 17, 8, 31), (16, 16, 16, 5), (90, 15, 22, 15), (47, 48, 60, 13),
        (5, 100, 1, 1),
    ])
    func `the passes in vectors are those of the textbook`(width: Int, height: Int, to: Int, and: Int) {
        var state: UInt32 = 9
        let pixels = (0..<width * height * 3).map { _ -> UInt8 in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 24)
        }
        let image = RGBImage(width: width, height: height, pixels: pixels)
        #expect(PillowResizer.resize(image, width: to, height: and) == textbook(image, width: to, height: and))
    }

    @Test func `a size that fits is copied`() {
        let image = RGBImage(width: 3, height: 2, pixels: (0..<18).map { UInt8($0 * 13) })
        #expect(PillowResizer.resize(image, width: 3, height: 2) == image)
    }

    @Test func `an even picture stays even at every size`() {
        let color = RGBColor(red: 3, green: 128, blue: 251)
        let image = RGBImage(width: 37, height: 11, color: color)
        for (width, height) in [(1, 1), (224, 224), (5, 90), (36, 12)] {
            #expect(
                PillowResizer.resize(image, width: width, height: height)
                    == RGBImage(width: width, height: height, color: color)
            )
        }
    }

    @Test func `both passes equal a textbook computation in floating point up to rounding`() {
        let noise: [UInt8] = (0..<19 * 23 * 3).map { (index: Int) -> UInt8 in UInt8((index * 89 + index / 5) & 255) }
        let image = RGBImage(width: 19, height: 23, pixels: noise)
        for (width, height) in [(7, 9), (40, 31), (19, 10)] {
            let resized = PillowResizer.resize(image, width: width, height: height)
            var worst = 0.0
            for channel in 0..<3 {
                // The horizontal pass, [23][width], clipped as an 8-bit picture is.
                var rows: [[Double]] = []
                for y in 0..<23 {
                    var row: [Double] = []
                    for x in 0..<width {
                        let value = textbook(19, width, x) { Double(noise[3 * (y * 19 + $0) + channel]) }
                        row.append(min(255, max(0, value)))
                    }
                    rows.append(row)
                }
                for y in 0..<height {
                    for x in 0..<width {
                        let value = textbook(23, height, y) { rows[$0][x] }
                        let actual = Double(resized.pixels[3 * (y * width + x) + channel])
                        worst = max(worst, abs(actual - min(255, max(0, value))))
                    }
                }
            }
            // Half a level from each rounding, the first of which passes weights whose absolute sum is below 1.3.
            #expect(worst < 0.5 + 0.65)
        }
    }

    /// One resampled value, straight from the definition of the antialiased cubic convolution.
    private func textbook(_ input: Int, _ output: Int, _ position: Int, _ value: (Int) -> Double) -> Double {
        let scale = Double(input) / Double(output)
        let stretch = max(1, scale)
        let center = (Double(position) + 0.5) * scale
        var (sum, total) = (0.0, 0.0)
        for index in 0..<input {
            let t = abs(Double(index) + 0.5 - center) / stretch
            var weight = 0.0
            if t < 1 {
                weight = (1.5 * t - 2.5) * t * t + 1
            } else if t < 2 {
                weight = ((-0.5 * t + 2.5) * t - 4) * t + 2
            }
            sum += weight * value(index)
            total += weight
        }
        return sum / total
    }
}
