import Foundation
import Testing
import UniMedImaging
import UniMedImagingTesting

@Suite("DICOM file")
struct DICOMFileTests {
    /// A ramp that uses the whole range of 12 bits.
    private static func ramp(_ count: Int, offset: Int = 0) -> [UInt16] {
        (0..<count).map { UInt16(($0 * 37 + offset) % 4096) }
    }

    private func open(_ builder: DICOMBuilder) throws -> DICOMFile {
        try DICOMFile(data: builder.data(), name: "made.dcm")
    }

    @Test(arguments: DICOMBuilder.Syntax.allCases)
    func `stored values are the same in every transfer syntax`(syntax: DICOMBuilder.Syntax) throws {
        let frames = [Self.ramp(35), Self.ramp(35, offset: 1000)]
        let file = try open(DICOMBuilder(rows: 5, columns: 7, frames: frames, bitsStored: 12, syntax: syntax))
        #expect(file.transferSyntax == syntax.rawValue)
        let layout = try file.pixelLayout()
        #expect(layout.rows == 5 && layout.columns == 7 && layout.frames == 2 && layout.bitsStored == 12)
        for (index, frame) in frames.enumerated() {
            #expect(try file.frame(index).values == frame.map(Int32.init))
        }
        #expect(throws: ImagingError.self) { try file.frame(2) }
    }

    @Test(arguments: DICOMBuilder.Syntax.allCases)
    func `colours are the same in every transfer syntax`(syntax: DICOMBuilder.Syntax) throws {
        // An odd number of bytes, which is padded.
        let frame = (0..<27).map { UInt16($0 * 9) }
        let file = try open(
            DICOMBuilder(rows: 3, columns: 3, frames: [frame], bitsStored: 8, samples: 3, syntax: syntax)
        )
        #expect(try file.picture().pixels == frame.map { UInt8($0) })
    }

    @Test func `planes of colour are put together`() throws {
        let planes: [UInt16] = [1, 2, 3, 4, 101, 102, 103, 104, 201, 202, 203, 204]
        var builder = DICOMBuilder(rows: 2, columns: 2, frames: [planes], bitsStored: 8, samples: 3)
        builder.set(0x0028_0006, "US", .words([1]))
        #expect(try open(builder).frame().values == [1, 101, 201, 2, 102, 202, 3, 103, 203, 4, 104, 204])
    }

    @Test func `the sign is that of the bits stored, and bits above them do not count`() throws {
        // 13 bits: 0x1FFF is -1, 0x1000 is -4096; the upper three bits are an overlay's.
        let frame: [UInt16] = [0x1FFF, 0x1000, 0x0FFF, 0xE001]
        let builder = DICOMBuilder(rows: 1, columns: 4, frames: [frame], bitsStored: 13, isSigned: true)
        #expect(try open(builder).frame().values == [-1, -4096, 4095, 1])
    }

    @Test func `values are rescaled, by frame where the file says so`() throws {
        var builder = DICOMBuilder(rows: 1, columns: 2, frames: [[0, 100], [0, 100]])
        builder.set(0x0028_1052, "DS", .text("-1024"))
        builder.set(0x0028_1053, "DS", .text("2"))
        let whole = try open(builder)
        #expect(try whole.values() == [-1024, -824])
        #expect(try whole.values(frame: 1) == [-1024, -824])
        let groups = [(1.0, 5.0), (0.5, -7.0)].map { slope, intercept -> [DICOMBuilder.Element] in
            let transformation = [
                DICOMBuilder.Element(0x0028_1052, "DS", .text("\(intercept)")),
                DICOMBuilder.Element(0x0028_1053, "DS", .text("\(slope)")),
            ]
            return [DICOMBuilder.Element(0x0028_9145, "SQ", .items([transformation]))]
        }
        builder.set(0x5200_9230, "SQ", .items(groups))
        for isOpen in [false, true] {
            builder.hasOpenSequences = isOpen
            let file = try open(builder)
            #expect(try file.values(frame: 0) == [5, 105])
            #expect(try file.values(frame: 1) == [-7, 43])
        }
    }

    @Test func `a modality's lookup table takes the place of slope and intercept`() throws {
        var builder = DICOMBuilder(rows: 1, columns: 4, frames: [[9, 10, 11, 90]])
        let table = [
            DICOMBuilder.Element(0x0028_3002, "US", .words([3, 10, 16])),
            DICOMBuilder.Element(0x0028_3006, "US", .words([1000, 2000, 3000])),
        ]
        builder.set(0x0028_3000, "SQ", .items([table]))
        // Outside the table its ends count.
        #expect(try open(builder).values() == [1000, 1000, 2000, 3000])
    }

    @Test func `a lookup table of interest is used where there is no window`() throws {
        var builder = DICOMBuilder(rows: 1, columns: 3, frames: [[0, 1, 2]])
        let table = [
            DICOMBuilder.Element(0x0028_3002, "US", .words([3, 0, 8])),
            DICOMBuilder.Element(0x0028_3006, "US", .words([255, 51, 0])),
        ]
        builder.set(0x0028_3010, "SQ", .items([table]))
        #expect(try open(builder).picture().pixels == [255, 255, 255, 51, 51, 51, 0, 0, 0])
    }

    @Test func `windows are the standard's`() throws {
        let linear = try #require(GrayWindow(center: 40, width: 100))
        // PS3.3 C.11.2.1.2.1: from c - 0.5 - (w - 1) / 2 = -10 to c - 0.5 + (w - 1) / 2 = 89.
        #expect(linear.gray(-10) == 0)
        #expect(linear.gray(89) == 255)
        #expect(abs(linear.gray(39.5) - 127.5) < 1e-9)
        let exact = try #require(GrayWindow(center: 40, width: 100, function: .linearExact))
        #expect(exact.gray(-10) == 0 && exact.gray(90) == 255 && exact.gray(40) == 127.5)
        let sigmoid = try #require(GrayWindow(center: 40, width: 100, function: .sigmoid))
        #expect(sigmoid.gray(40) == 127.5)
        #expect(abs(sigmoid.gray(90) - 255 / (1 + exp(-2.0))) < 1e-9)
        #expect(GrayWindow(center: 0, width: 0) == nil)
        #expect(GrayWindow(center: 0, width: 0.5) == nil)
        let threshold = try #require(GrayWindow(center: 10, width: 1))
        #expect(threshold.gray(9.5) == 0 && threshold.gray(9.6) == 255)
    }

    @Test func `the windows of a file are read, those that are none left out`() throws {
        var builder = DICOMBuilder(rows: 1, columns: 1, frames: [[0]])
        builder.set(0x0028_1050, "DS", .text("40\\50\\1"))
        builder.set(0x0028_1051, "DS", .text("80\\0\\400"))
        builder.set(0x0028_1056, "CS", .text("SIGMOID"))
        #expect(
            try open(builder).windows() == [
                #require(GrayWindow(center: 40, width: 80, function: .sigmoid)),
                #require(GrayWindow(center: 1, width: 400, function: .sigmoid)),
            ]
        )
    }

    @Test func `pictures are windowed, three windows are three channels, and MONOCHROME1 is inverted`() throws {
        var builder = DICOMBuilder(rows: 1, columns: 3, frames: [[0, 1024, 2048]])
        builder.set(0x0028_1052, "DS", .text("-1024"))
        builder.set(0x0028_1053, "DS", .text("1"))
        let file = try open(builder)
        #expect(try file.picture(rendering: .fullRange).pixels == [0, 0, 0, 128, 128, 128, 255, 255, 255])
        let lung = try file.picture(rendering: .window(.lung))
        let expected = UInt8(GrayWindow.lung.gray(0).rounded())
        #expect(lung.pixels[3] == expected && lung.pixels[0] == UInt8(GrayWindow.lung.gray(-1024).rounded()))
        let rendering = try #require(GrayRendering("lung,mediastinum,bone"))
        let channels = try file.picture(rendering: rendering)
        #expect(
            channels[1, 0]
                == RGBColor(
                    red: expected,
                    green: UInt8(GrayWindow.mediastinum.gray(0).rounded()),
                    blue: UInt8(GrayWindow.bone.gray(0).rounded())
                )
        )
        builder.set(0x0028_0004, "CS", .text("MONOCHROME1"))
        #expect(try open(builder).picture(rendering: .fullRange).pixels[0] == 255)
        // Padding does not stretch the range.
        builder.set(0x0028_0004, "CS", .text("MONOCHROME2"))
        builder.set(0x0028_0120, "US", .words([0]))
        #expect(try open(builder).picture().pixels == [0, 0, 0, 0, 0, 0, 255, 255, 255])
    }

    @Test func `renderings are read from text`() throws {
        #expect(GrayRendering("file") == .file)
        #expect(GrayRendering("soft-tissue") == .window(.softTissue))
        #expect(try GrayRendering("-600/1500") == .window(#require(GrayWindow(center: -600, width: 1500))))
        #expect(GrayRendering("percentiles") == .percentiles(lower: 0.01, upper: 0.99))
        for text in ["", "liver", "40", "40/0", "40/80/1", "lung,bone", "lung,bone,x"] {
            #expect(GrayRendering(text) == nil, "\(text)")
        }
    }

    @Test func `palettes are looked up`() throws {
        var builder = DICOMBuilder(rows: 1, columns: 3, frames: [[0, 1, 2]], bitsStored: 8)
        builder.set(0x0028_0004, "CS", .text("PALETTE COLOR"))
        for (channel, base) in [0x1000, 0x2000, 0x3000].enumerated() {
            builder.set(0x0028_1101 + UInt32(channel), "US", .words([2, 1, 16]))
            builder.set(0x0028_1201 + UInt32(channel), "OW", .words([UInt16(base), UInt16(base + 0x0F00)]))
        }
        #expect(try open(builder).picture().pixels == [0x10, 0x20, 0x30, 0x10, 0x20, 0x30, 0x1F, 0x2F, 0x3F])
        builder.set(0x0028_1201, "OW", nil)
        let error = #expect(throws: ImagingError.self) { try open(builder).picture() }
        #expect(error?.detail.contains("(0028,1101)") == true)
    }

    @Test func `what the header says is checked against the data before memory is taken`() throws {
        for (tag, value) in [(UInt32(0x0028_0010), UInt16(60000)), (0x0028_0011, 60000), (0x0028_0010, 0)] {
            var builder = DICOMBuilder(rows: 2, columns: 2, frames: [[1, 2, 3, 4]])
            builder.set(tag, "US", .words([value]))
            let error = #expect(throws: ImagingError.self) { try open(builder).frame() }
            #expect(error?.kind == .malformed || error?.kind == .tooLarge)
            #expect(error?.file == "made.dcm")
        }
        var builder = DICOMBuilder(rows: 2, columns: 2, frames: [[1, 2, 3, 4]], syntax: .rle)
        builder.set(0x0028_0010, "US", .words([9000]))
        builder.set(0x0028_0011, "US", .words([9000]))
        #expect(throws: ImagingError.self) { try open(builder).frame() }
        builder = DICOMBuilder(rows: 2, columns: 2, frames: [[1, 2, 3, 4]])
        builder.set(0x0028_0008, "IS", .text("16000000"))
        #expect(throws: ImagingError.self) { try open(builder).pixelLayout() }
    }

    @Test(arguments: DICOMBuilder.Syntax.allCases)
    func `every truncation is an error, never a picture`(syntax: DICOMBuilder.Syntax) throws {
        let whole = DICOMBuilder(rows: 3, columns: 3, frames: [Self.ramp(9)], bitsStored: 12, syntax: syntax).data()
        for count in stride(from: 0, to: whole.count - 1, by: 3) {
            #expect(throws: ImagingError.self, "\(count) bytes") {
                try DICOMFile(data: whole.prefix(count), name: "cut").frame()
            }
        }
    }

    @Test func `sequences that nest without end are refused`() throws {
        var element = DICOMBuilder.Element(0x0008_0060, "CS", .text("CT"))
        for _ in 0..<200 { element = DICOMBuilder.Element(0x0040_A730, "SQ", .items([[element]])) }
        for syntax in [DICOMBuilder.Syntax.explicitLittleEndian, .implicitLittleEndian] {
            var builder = DICOMBuilder(rows: 1, columns: 1, frames: [[0]], syntax: syntax)
            builder.set(0x0040_A730, "SQ", .items([[element]]))
            let error = #expect(throws: ImagingError.self) { try open(builder) }
            #expect(error?.detail.contains("nested") == true)
        }
    }

    @Test func `a file without pixels and one that is no DICOM file are told apart`() throws {
        let report = DICOMBuilder(rows: 1, columns: 1, frames: [])
        #expect(#expect(throws: ImagingError.self) { try open(report).pixelLayout() }?.kind == .noImage)
        let text = Data(repeating: 0x41, count: 500)
        #expect(#expect(throws: ImagingError.self) { try DICOMFile(data: text, name: "t") }?.kind == .malformed)
        var other = DICOMBuilder(rows: 1, columns: 1, frames: [[1]]).data()
        let range = try #require(other.range(of: Data("1.2.840.10008.1.2.1\0".utf8)))
        other.replaceSubrange(range, with: Data("1.2.840.10008.1.9.9\0".utf8))
        #expect(
            #expect(throws: ImagingError.self) { try DICOMFile(data: other, name: "t").frame() }?.kind == .unsupported
        )
    }

    @Test func `importers and commands read a DICOM file like any other picture`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dicom-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let url = folder.appending(path: "no-ending")
        // Larger than what is read of a file at first.
        let builder = DICOMBuilder(rows: 200, columns: 300, frames: [Self.ramp(60_000)], bitsStored: 12)
        try builder.data().write(to: url)
        #expect(try ImageFile.size(of: url) == ImageFile.Size(width: 300, height: 200))
        let picture = try ImageDecoder.decode(contentsOf: url)
        #expect(picture.width == 300 && picture.height == 200)
        #expect(try picture == open(builder).picture())
        let windowed = try ImageDecoder.decode(contentsOf: url, rendering: .window(.brain))
        #expect(try windowed == open(builder).picture(rendering: .window(.brain)))
        #expect(windowed != picture)
    }

    @Test func `the elements that leave the reader are none that identify`() {
        #expect(DICOMTag.basicProfile.count > 600)
        for tag in [
            DICOMTag(0x0010, 0x0010), DICOMTag(0x0010, 0x0020), DICOMTag(0x0008, 0x0080), DICOMTag(0x0020, 0x000D),
            DICOMTag(0x0009, 0x1001), DICOMTag(0x5002, 0x3000), DICOMTag(0x6004, 0x3000), DICOMTag(0x0040, 0xA730),
        ] {
            #expect(tag.isIdentifying, "\(tag)")
        }
        for tag in DICOMTechnicalFields.tags { #expect(!tag.isIdentifying, "\(tag)") }
    }
}
