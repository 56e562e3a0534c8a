import Foundation
import Testing
import UniMedImaging

@Suite("Image decoder")
struct ImageDecoderTests {
    private func decode(_ data: Data, _ policy: SixteenBitGray = .fullRange) throws -> RGBImage {
        try ImageDecoder.decode(data: data, name: "synthetic", sixteenBitGray: policy)
    }

    private func gray(_ values: [UInt8]) -> [UInt8] { values.flatMap { [$0, $0, $0] } }

    @Test func `grey of one, two and four bits spans black to white`() throws {
        let one = SyntheticPNG.file(width: 4, rows: [[0b0101_0000]], depth: 1, color: 0)
        #expect(try decode(one).pixels == gray([0, 255, 0, 255]))
        let two = SyntheticPNG.file(width: 4, rows: [[0b0001_1011]], depth: 2, color: 0)
        #expect(try decode(two).pixels == gray([0, 85, 170, 255]))
        let four = SyntheticPNG.file(width: 2, rows: [[0x3F]], depth: 4, color: 0)
        #expect(try decode(four).pixels == gray([51, 255]))
    }

    @Test func `a palette is looked up and its transparency ignored`() throws {
        let palette = SyntheticPNG.chunk("PLTE", [10, 20, 30, 40, 50, 60])
        let transparency = SyntheticPNG.chunk("tRNS", [0, 128])
        let file = SyntheticPNG.file(width: 3, rows: [[0, 1, 0]], depth: 8, color: 3, before: [palette, transparency])
        #expect(try decode(file).pixels == [10, 20, 30, 40, 50, 60, 10, 20, 30])
    }

    @Test func `a palette index without an entry is black`() throws {
        let palette = SyntheticPNG.chunk("PLTE", [10, 20, 30])
        let file = SyntheticPNG.file(width: 2, rows: [[0, 200]], depth: 8, color: 3, before: [palette])
        #expect(try decode(file).pixels == [10, 20, 30, 0, 0, 0])
    }

    @Test func `alpha is dropped and the colour beneath is kept`() throws {
        let rgba = SyntheticPNG.file(width: 2, rows: [[1, 2, 3, 0, 4, 5, 6, 9]], depth: 8, color: 6)
        #expect(try decode(rgba).pixels == [1, 2, 3, 4, 5, 6])
        let grayAlpha = SyntheticPNG.file(width: 2, rows: [[7, 0, 8, 255]], depth: 8, color: 4)
        #expect(try decode(grayAlpha).pixels == gray([7, 8]))
    }

    @Test func `colour of 16 bits keeps its upper byte`() throws {
        let file = SyntheticPNG.file(width: 1, rows: [[1, 255, 2, 0, 200, 128]], depth: 16, color: 2)
        #expect(try decode(file).pixels == [1, 2, 200])
    }

    @Test func `grey of 16 bits follows the policy`() throws {
        // 0, 100, 1000 and 4095, as 12-bit scanners write them.
        let file = SyntheticPNG.file(width: 4, rows: [[0, 0, 0, 100, 3, 232, 15, 255]], depth: 16, color: 0)
        #expect(try decode(file).pixels == gray([0, 6, 62, 255]))
        #expect(try decode(file, .clip).pixels == gray([0, 100, 255, 255]))
        #expect(try decode(file, .window(100...1100)).pixels == gray([0, 0, 230, 255]))
        let even = SyntheticPNG.file(width: 2, rows: [[1, 0, 1, 0]], depth: 16, color: 0)
        #expect(try decode(even).pixels == gray([0, 0]))
    }

    @Test func `TIFF grey is read from strips, tiles and with white as zero`() throws {
        let values: [UInt8] = [0, 50, 100, 150, 200, 250]
        let strips = SyntheticTIFF(width: 3, height: 2, parts: [values])
        #expect(try decode(strips.data).pixels == gray(values))
        var inverted = strips
        inverted.photometric = 0
        #expect(try decode(inverted.data).pixels == gray(values.map { 255 - $0 }))

        // 20 x 17 pixels in four tiles of 16 x 16.
        var tiles = [[UInt8]](repeating: [UInt8](repeating: 99, count: 256), count: 4)
        var expected: [UInt8] = []
        for y in 0..<17 {
            for x in 0..<20 {
                let value = UInt8(x * 10 + y)
                expected.append(value)
                tiles[(y / 16) * 2 + x / 16][(y % 16) * 16 + x % 16] = value
            }
        }
        let tiled = SyntheticTIFF(width: 20, height: 17, tileSide: 16, parts: tiles)
        #expect(try decode(tiled.data).pixels == gray(expected))
    }

    @Test func `TIFF colour is read contiguous, in planes, by palette and as inks`() throws {
        let contiguous = SyntheticTIFF(width: 2, height: 1, samples: 3, photometric: 2, parts: [[1, 2, 3, 4, 5, 6]])
        #expect(try decode(contiguous.data).pixels == [1, 2, 3, 4, 5, 6])
        let planes = SyntheticTIFF(
            width: 2,
            height: 1,
            samples: 3,
            photometric: 2,
            isSeparate: true,
            parts: [[1, 4], [2, 5], [3, 6]]
        )
        #expect(try decode(planes.data).pixels == [1, 2, 3, 4, 5, 6])
        let map = (0..<3).flatMap { channel in (0..<256).map { UInt16(($0 + channel) % 256) << 8 } }
        let palette = SyntheticTIFF(width: 2, height: 1, photometric: 3, colorMap: map, parts: [[10, 20]])
        #expect(try decode(palette.data).pixels == [10, 11, 12, 20, 21, 22])
        let inks = SyntheticTIFF(
            width: 2,
            height: 1,
            samples: 4,
            photometric: 5,
            parts: [[0, 0, 0, 0, 255, 128, 0, 55]]
        )
        #expect(try decode(inks.data).pixels == [255, 255, 255, 0, 100, 200])
    }

    @Test func `signed TIFF values keep their sign in a window`() throws {
        // -1000, 0 and 400: air, water and bone in Hounsfield units.
        let values: [Int16] = [-1000, 0, 400]
        let bytes = values.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
        let file = SyntheticTIFF(width: 3, height: 1, bits: 16, sampleFormat: 2, parts: [bytes])
        #expect(try decode(file.data, .window(-100...400)).pixels == gray([0, 51, 255]))
        #expect(try decode(file.data, .clip).pixels == gray([0, 0, 255]))
        #expect(try decode(file.data).pixels == gray([0, 182, 255]))
    }

    @Test func `floating-point TIFF is refused as unsupported`() throws {
        let file = SyntheticTIFF(
            width: 1,
            height: 1,
            bits: 32,
            sampleFormat: 3,
            parts: [[0, 0, 128, 63]]
        )
        #expect(throws: ImagingError.self) { try decode(file.data) }
        do {
            _ = try decode(file.data)
        } catch let error as ImagingError {
            #expect(error.kind == .unsupported)
            #expect(error.description.hasPrefix("synthetic: "))
        }
    }
}

@Suite("Damaged images")
struct DamagedImageTests {
    private func kind(_ data: Data) -> ImagingError.Kind? {
        do {
            _ = try ImageDecoder.decode(data: data, name: "damaged")
            return nil
        } catch {
            return error.kind
        }
    }

    private var picture: RGBImage {
        RGBImage(width: 40, height: 30, pixels: (0..<3600).map { UInt8(($0 * $0 / 7) & 255) })
    }

    @Test func `text, nothing and a bare signature are refused`() {
        #expect(kind(Data("This is a report, no picture.".utf8)) == .unknownFormat)
        #expect(kind(Data()) == .unknownFormat)
        #expect(kind(Data(SyntheticPNG.signature)) == .malformed)
        #expect(kind(Data([0xFF, 0xD8, 0xFF])) == .malformed)
        #expect(kind(Data([0x49, 0x49, 0x2A, 0x00])) == .malformed)
    }

    @Test func `a missing file and a folder are refused by name`() throws {
        let folder = FileManager.default.temporaryDirectory
        for url in [folder, folder.appending(path: "there-is-no-such-image.png")] {
            do {
                _ = try ImageDecoder.decode(contentsOf: url)
                Issue.record("\(url.path) was decoded")
            } catch {
                #expect(error.kind == .unreadableFile)
                #expect(error.file == url.path)
            }
            #expect(throws: ImagingError.self) { try ImageFile.size(of: url) }
        }
    }

    @Test func `a PNG file cut anywhere is refused`() throws {
        let whole = Data(try PNGEncoder.encode(picture))
        for count in 8..<whole.count { #expect(kind(whole.prefix(count)) == .malformed, "\(count) bytes") }
        #expect(kind(whole) == nil)
    }

    @Test func `a JPEG file cut inside its picture is refused`() throws {
        let whole = Data(try JPEGEncoder.encode(picture))
        // The last bytes hold the end marker and the rest of the last block, which a decoder may not need.
        for count in 3..<whole.count - 8 { #expect(kind(whole.prefix(count)) == .malformed, "\(count) bytes") }
        #expect(kind(whole) == nil)
    }

    @Test func `a TIFF file cut anywhere is refused`() {
        let whole = SyntheticTIFF(width: 16, height: 16, parts: [[UInt8](repeating: 7, count: 256)]).data
        // Up to its last four bytes, which say that no further directory follows.
        for count in 4..<whole.count - 4 { #expect(kind(whole.prefix(count)) == .malformed, "\(count) bytes") }
        #expect(kind(whole) == nil)
    }

    @Test func `huge dimensions are refused before memory is taken`() {
        let png = Data(
            SyntheticPNG.signature
                + SyntheticPNG.header(width: 2_000_000_000, height: 2_000_000_000, depth: 8, color: 2)
                + SyntheticPNG.chunk("IDAT", SyntheticPNG.stored([0])) + SyntheticPNG.chunk("IEND", [])
        )
        #expect(kind(png) == .tooLarge)
        let tiff = SyntheticTIFF(width: 1_000_000, height: 1_000_000, parts: [[0]])
        #expect(kind(tiff.data) == .tooLarge)
        let empty = Data(
            SyntheticPNG.signature + SyntheticPNG.header(width: 0, height: 5, depth: 8, color: 2)
                + SyntheticPNG.chunk("IEND", [])
        )
        #expect(kind(empty) == .malformed)
    }

    @Test func `flipped bits never crash and never change the size`() throws {
        var tiff = SyntheticTIFF(width: 40, height: 30, samples: 3, photometric: 2, parts: [picture.pixels]).data
        tiff.append(0)
        let files = [Data(try PNGEncoder.encode(picture)), Data(try JPEGEncoder.encode(picture)), tiff]
        var state: UInt64 = 7
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var refused = 0
        for file in files {
            for _ in 0..<400 {
                var damaged = file
                for _ in 0...next(4) { damaged[next(damaged.count)] ^= UInt8(1 << next(8)) }
                if let image = try? ImageDecoder.decode(data: damaged, name: "flipped") {
                    #expect(image.pixels.count == image.width * image.height * 3)
                } else {
                    refused += 1
                }
            }
        }
        // PNG protects every byte by a checksum, so at least that third is refused.
        #expect(refused >= 400)
    }
}
