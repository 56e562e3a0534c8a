import Foundation
import Testing
import UniMedData
import UniMedImaging
import UniMedImporters

/// A folder in which a test lays out a miniature data set, removed with the object.
final class MadeFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-importers-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func file(_ path: String) -> URL { url.appendingPathComponent(path) }

    func write(_ text: String, to path: String) throws {
        try write(Data(text.utf8), to: path)
    }

    func write(_ data: Data, to path: String) throws {
        let url = file(path)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        try data.write(to: url)
    }

    /// Writes an even picture as PNG.
    func writePicture(_ path: String, width: Int = 20, height: Int = 10, value: UInt8 = 7) throws {
        let pixels = [UInt8](repeating: value, count: width * height * 3)
        try write(Data(try PNGEncoder.encode(RGBImage(width: width, height: height, pixels: pixels))), to: path)
    }

    func remove(_ path: String) throws { try FileManager.default.removeItem(at: file(path)) }

    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted()
    }
}

/// The real data sets: `UNIMED_DATA`, else beside the repository.
enum RealData {
    static let root: URL = {
        if let path = ProcessInfo.processInfo.environment["UNIMED_DATA"] { return URL(fileURLWithPath: path) }
        let repository = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return repository.deletingLastPathComponent().appendingPathComponent("shared/data")
    }()

    static func has(_ folder: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appendingPathComponent(folder).path)
    }
}

/// Imports with an importer of the registry and checks what holds for every importer.
func runImport(
    _ name: String,
    _ root: URL,
    options: ImportOptions = ImportOptions()
) throws -> (dataset: ImportedDataset, report: ImportReport) {
    let importer = try ImporterRegistry.standard.entry(named: name).importer(root: root, options: options)
    var report = ImportReport()
    let dataset = try importer.importSamples(report: &report)
    #expect(report.isBalanced)
    #expect(Set(dataset.samples.map(\.id)).count == dataset.samples.count)
    #expect(dataset.samples.allSatisfy { $0.dataset == name && $0.task.usesImage == ($0.image != nil) })
    for (kind, count) in Dictionary(grouping: dataset.samples, by: ImportReport.kind(of:)).mapValues(\.count) {
        #expect(report.tallies[kind]?.imported == count)
    }
    let splits = Dictionary(grouping: dataset.samples) { $0.group ?? $0.id }.mapValues { Set($0.map(\.split)) }
    #expect(splits.values.allSatisfy { $0.count == 1 }, "a group is in two splits")
    return (dataset, report)
}

/// The error that an operation throws; records an issue when it throws none.
func importError(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) -> ImportError? {
    let error = #expect(throws: ImportError.self, sourceLocation: sourceLocation) { try body() }
    return error
}
