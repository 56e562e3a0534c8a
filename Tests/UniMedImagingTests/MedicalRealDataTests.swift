import Foundation
import Testing
import UniMedData
import UniMedImaging

/// The real files and what is known of them; never in the repository.
private enum MedicalData {
    static let root: URL = {
        if let path = ProcessInfo.processInfo.environment["UNIMED_DATA"] { return URL(filePath: path) }
        let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return repository.deletingLastPathComponent().appending(path: "shared/data")
    }()

    struct Manifest<Entry: Decodable>: Decodable {
        var files: [String: Entry]
    }

    static func entries<Entry: Decodable>(_ folder: String, as _: Entry.Type) throws -> [(URL, Entry)] {
        let folder = root.appending(path: folder)
        let data = try Data(contentsOf: folder.appending(path: "expected.json"))
        let manifest = try JSONDecoder().decode(Manifest<Entry>.self, from: data)
        return manifest.files.sorted { $0.key < $1.key }.map { (folder.appending(path: $0.key), $0.value) }
    }

    static func has(_ folder: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appending(path: "\(folder)/expected.json").path)
    }
}

/// A number, or several for the samples of a pixel.
private struct Numbers: Decodable {
    let values: [Double]

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let one = try? container.decode(Double.self) {
            values = [one]
        } else if (try? container.decode(String.self)) == "NaN" {
            values = [.nan]
        } else {
            values = try container.decode([Double].self)
        }
    }
}

@Suite("Real DICOM files")
struct RealDICOMTests {
    private struct Summary: Decodable {
        var min: Double
        var max: Double
        var mean: Double
    }

    private struct Position: Decodable {
        var frame: Int
        var row: Int
        var col: Int
        var value: Numbers
    }

    private struct Rescale: Decodable {
        var slope: Double
        var intercept: Double
    }

    private struct Colors: Decodable {
        var samples: [[Int]]
    }

    private struct Expected: Decodable {
        var error: Bool
        var transfer_syntax_uid: String?
        var shape: [Int]?
        var bits_allocated: Int?
        var bits_stored: Int?
        var pixel_representation: Int?
        var exact: Bool?
        var sha256_stored: String?
        var stored: Summary?
        var samples: [Position]?
        var rescale: Rescale?
        var after_rescale: Summary?
        var windows: [[Double]]?
        var after_window_0_255: Summary?
        var window_samples: [Double]?
        var rgb: Colors?
        var palette: Colors?
    }

    @Test(.enabled(if: MedicalData.has("dicom"), "there is no dicom/expected.json under UNIMED_DATA"))
    func `every file agrees with what is known of it`() throws {
        let entries = try MedicalData.entries("dicom", as: Expected.self)
        #expect(!entries.isEmpty)
        for (url, expected) in entries {
            if expected.error {
                #expect(throws: ImagingError.self, "\(url.lastPathComponent)") {
                    _ = try DICOMFile(contentsOf: url).frame()
                }
                continue
            }
            try check(DICOMFile(contentsOf: url), expected, url.lastPathComponent)
            let size = try ImageFile.size(of: url)
            let picture = try ImageDecoder.decode(contentsOf: url)
            #expect(picture.width == size.width && picture.height == size.height)
        }
    }

    private func check(_ file: DICOMFile, _ expected: Expected, _ name: String) throws {
        let layout = try file.pixelLayout()
        #expect(file.transferSyntax == expected.transfer_syntax_uid, "\(name)")
        let shape = [layout.frames, layout.rows, layout.columns] + (layout.samples > 1 ? [layout.samples] : [])
        #expect(shape == expected.shape, "\(name)")
        #expect(layout.bitsAllocated == expected.bits_allocated && layout.bitsStored == expected.bits_stored, "\(name)")
        #expect(layout.isSigned == (expected.pixel_representation == 1), "\(name)")
        let frames = try (0..<layout.frames).map { try file.frame($0) }
        try checkStored(frames, layout, expected, name)
        if let summary = expected.after_rescale {
            let values = try (0..<layout.frames).flatMap { try file.values(frame: $0) }
            check(values.lazy.map(Double.init), summary, isExact: expected.exact ?? true, "\(name) rescaled")
        }
        if expected.stored != nil, layout.samples == 1, let rescale = expected.rescale {
            #expect(file.rescaleSlope() == rescale.slope && file.rescaleIntercept() == rescale.intercept, "\(name)")
        }
        let windows = file.windows()
        #expect(windows.map { [$0.center, $0.width] } == expected.windows ?? [], "\(name)")
        if let window = windows.first, let samples = expected.window_samples, let summary = expected.after_window_0_255
        {
            let values = try file.values()
            check(values.lazy.map { window.gray(Double($0)) }, summary, isExact: true, "\(name) windowed")
            for (position, gray) in zip(expected.samples ?? [], samples) {
                let found = window.gray(Double(values[position.row * layout.columns + position.col]))
                #expect(abs(found - gray) < 1e-5 * max(1, gray), "\(name)")
            }
        }
        try checkColors(file, frames, layout, expected, name)
    }

    private func checkStored(
        _ frames: [DICOMFile.Frame],
        _ layout: DICOMFile.PixelLayout,
        _ expected: Expected,
        _ name: String
    ) throws {
        var hash = SHA256()
        for frame in frames {
            frame.values.map(\.littleEndian).withUnsafeBytes { hash.update($0) }
        }
        let digest = hash.hexDigest()
        let isExact = expected.exact ?? true
        if isExact { #expect(digest == expected.sha256_stored, "\(name)") }
        // Lossy codings may differ by 2 levels.
        for position in expected.samples ?? [] {
            let pixel = (position.row * layout.columns + position.col) * layout.samples
            for (sample, value) in position.value.values.enumerated() {
                let stored = frames[position.frame].values[pixel + sample]
                let found = layout.bitsStored == 32 ? Double(UInt32(bitPattern: stored)) : Double(stored)
                #expect(abs(found - value) <= (isExact ? 0 : 2), "\(name)")
            }
        }
        if let summary = expected.stored {
            let isUnsigned = layout.bitsStored == 32 && !layout.isSigned
            let values = frames.flatMap { $0.values.map { isUnsigned ? Double(UInt32(bitPattern: $0)) : Double($0) } }
            check(values, summary, isExact: isExact, "\(name) stored")
        }
    }

    private func checkColors(
        _ file: DICOMFile,
        _ frames: [DICOMFile.Frame],
        _ layout: DICOMFile.PixelLayout,
        _ expected: Expected,
        _ name: String
    ) throws {
        for (position, color) in zip(expected.samples ?? [], expected.rgb?.samples ?? []) {
            let found = try file.picture(frame: position.frame)[position.col, position.row]
            for (channel, value) in zip([found.red, found.green, found.blue], color) {
                #expect(abs(Int(channel) - value) <= (expected.exact == true ? 1 : 2), "\(name)")
            }
        }
        if let palette = expected.palette {
            let colors = try file.paletteColors(of: frames[0], layout: layout)
            for (position, color) in zip(expected.samples ?? [], palette.samples) {
                let pixel = 3 * (position.row * layout.columns + position.col)
                #expect(colors[pixel..<pixel + 3].map(Int.init) == color, "\(name)")
            }
        }
    }

    private func check(_ values: some Sequence<Double>, _ summary: Summary, isExact: Bool, _ name: String) {
        var (count, sum, smallest, largest) = (0, 0.0, Double.infinity, -Double.infinity)
        for value in values {
            count += 1
            sum += value
            smallest = min(smallest, value)
            largest = max(largest, value)
        }
        func isNear(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= (isExact ? 1e-5 * max(1, abs(b)) : 2) }
        #expect(isNear(smallest, summary.min) && isNear(largest, summary.max), "\(name)")
        #expect(isNear(sum / Double(count), summary.mean), "\(name)")
    }
}

@Suite("Real NIfTI files")
struct RealNIfTITests {
    private struct Voxel: Decodable {
        var index: [Int]
        var value: Numbers
    }

    private struct Expected: Decodable {
        var error: Bool
        var nifti_version: Int?
        var endianness: String?
        var shape: [Int]?
        var datatype_code: Int?
        var scl_slope: Double?
        var scl_inter: Double?
        var voxel_size: [Double]?
        var affine: [[Double]]?
        var axis_codes: [String]?
        var min: Double?
        var max: Double?
        var mean: Double?
        var non_finite_count: Int?
        var voxels: [Voxel]?
    }

    @Test(.enabled(if: MedicalData.has("nifti"), "there is no nifti/expected.json under UNIMED_DATA"))
    func `every file agrees with what is known of it`() throws {
        let entries = try MedicalData.entries("nifti", as: Expected.self)
        #expect(!entries.isEmpty)
        for (url, expected) in entries {
            let name = url.lastPathComponent
            if expected.error {
                #expect(throws: ImagingError.self, "\(name)") { try NIfTIFile(contentsOf: url) }
                continue
            }
            let file = try NIfTIFile(contentsOf: url)
            #expect(file.version == expected.nifti_version && file.shape == expected.shape, "\(name)")
            #expect(file.isBigEndian == (expected.endianness == "big"), "\(name)")
            #expect(file.datatypeCode == expected.datatype_code, "\(name)")
            #expect(file.slope == expected.scl_slope && file.intercept == expected.scl_inter, "\(name)")
            for (found, size) in zip(file.voxelSize, expected.voxel_size ?? []) {
                #expect(abs(found - size) < 1e-5 * Swift.max(1, size), "\(name)")
            }
            for row in 0..<3 {
                for column in 0..<4 {
                    let number = try #require(expected.affine?[row][column])
                    #expect(abs(file.affine[row][column] - number) < 1e-5 * Swift.max(1, abs(number)), "\(name)")
                }
            }
            let volumes = try (0..<file.volumeCount).map { try file.volume(at: $0) }
            #expect(volumes[0].directions.map(\.rawValue) == expected.axis_codes, "\(name)")
            let values = volumes.flatMap(\.values)
            let finite = values.filter(\.isFinite).map(Double.init)
            #expect(values.count - finite.count == expected.non_finite_count, "\(name)")
            let mean = finite.reduce(0, +) / Double(finite.count)
            for (found, known) in [
                (finite.min(), expected.min), (finite.max(), expected.max), (mean, expected.mean),
            ] {
                let (found, known) = (try #require(found), try #require(known))
                #expect(abs(found - known) <= 1e-5 * Swift.max(1, abs(known)), "\(name)")
            }
            for voxel in expected.voxels ?? [] {
                let volume = volumes[voxel.index.count > 3 ? voxel.index[3] : 0]
                let place = (voxel.index[2] * volume.rows + voxel.index[1]) * volume.columns + voxel.index[0]
                let (found, known) = (Double(volume.values[place]), voxel.value.values[0])
                #expect(found.isNaN == known.isNaN, "\(name)")
                if !known.isNaN { #expect(abs(found - known) <= 1e-5 * Swift.max(1, abs(known)), "\(name)") }
            }
        }
    }
}
