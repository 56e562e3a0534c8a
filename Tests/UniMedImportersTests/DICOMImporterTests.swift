import Foundation
import Testing
import UniMedData
import UniMedImaging
import UniMedImagingTesting
import UniMedImporters

@Suite("DICOM importer")
struct DICOMImporterTests {
    /// Two patients: a series of three slices, and a single picture.
    private func makeFolder(table: String, change: (inout DICOMBuilder) -> Void = { _ in }) throws -> MadeFolder {
        let folder = try MadeFolder()
        for (index, name) in ["scan/c", "scan/a", "scan/b"].enumerated() {
            var builder = Self.slice(patient: "P1", series: "1.2.77.1", value: UInt16(100 * (index + 1)))
            builder.setPlane(position: [0, 0, Double(index)], spacing: [0.5, 0.5])
            change(&builder)
            try folder.write(builder.data(), to: name)
        }
        var single = Self.slice(patient: "P2", series: "1.2.77.2", value: 500)
        change(&single)
        try folder.write(single.data(), to: "single.dcm")
        try folder.write(table, to: "labels.csv")
        return folder
    }

    private static func slice(patient: String, series: String, value: UInt16) -> DICOMBuilder {
        let frame = (0..<6 * 8).map { value + UInt16($0) }
        var builder = DICOMBuilder(rows: 6, columns: 8, frames: [frame], bitsStored: 12)
        builder.set(0x0010_0020, "LO", .text(patient))
        builder.set(0x0020_000D, "UI", .text(series + ".9"))
        builder.set(0x0020_000E, "UI", .text(series))
        builder.set(0x0018_0015, "CS", .text("CHEST"))
        return builder
    }

    private func options(_ settings: [String: String] = [:]) -> ImportOptions {
        ImportOptions(validationFraction: 0, settings: settings)
    }

    @Test func `rows name files, series and studies, and slices in them`() throws {
        let folder = try makeFolder(
            table: """
                file,series,study,slice,task,question,answer,choices,object,xMin,yMin,xMax,yMax
                scan/c,,,,vqa,Which organ?,lung,,,,,,
                ,1.2.77.1,,,cls,Which?,ill,healthy | ill,,,,,
                ,,1.2.77.1.9,2,rec,,,,heart,1,2,5,6
                single.dcm,,,,reg,,,,liver,0,0,8,6
                ,1.2.77.1,,3,vqa,Which?,no,,,,,,
                ,1.2.78,,,vqa,Which?,no,,,,,,
                gone.dcm,,,,vqa,Which?,no,,,,,,
                single.dcm,1.2.77.1,,,vqa,Which?,no,,,,,,
                single.dcm,,,,walk,Which?,no,,,,,,
                single.dcm,,,,rec,,,,heart,1,2,50,6

                """
        )
        let (dataset, report) = try runImport("dicom", folder.url, options: options())
        #expect(
            dataset.samples.map(\.task) == [
                .visualQuestionAnswering, .imageClassification, .referringExpressionComprehension,
                .referringExpressionGeneration,
            ]
        )
        #expect(dataset.samples[0].image?.path.hasSuffix("/0") == true)
        #expect(dataset.samples[1].image?.path.hasSuffix("/1") == true)
        #expect(dataset.samples[1].choices == ["healthy", "ill"])
        #expect(dataset.samples[2].image?.path.hasSuffix("/2") == true)
        #expect(dataset.samples[2].box == BoundingBox(xMin: 1, yMin: 2, xMax: 5, yMax: 6))
        #expect(dataset.samples[3].answer == "liver")
        #expect(dataset.samples.allSatisfy { $0.image?.width == 8 && $0.image?.height == 6 })
        #expect(Set(dataset.samples.map(\.group)).count == 2)
        #expect(dataset.samples[0].group == dataset.samples[2].group)
        let fields = try #require(dataset.samples[0].fields)
        #expect(fields["modality"] == "CT" && fields["bodyPart"] == "CHEST" && fields["plane"] == "axial")
        #expect(report.tallies["DICOM file"]?.imported == 4)
        #expect(report.tallies["row"]?.found == 10 && report.tallies["row"]?.imported == 5)
        #expect(report.tallies["rec"]?.skippedCount == 1)
    }

    @Test func `JSON lines say the same as CSV, and names of an earlier preparation are understood`() throws {
        let folder = try makeFolder(table: "series,slice,task,question,answer\n1.2.77.1,0,vqa,Which?,lung\n")
        let salted = options(["salt": "s"])
        let first = try runImport("dicom", folder.url, options: salted).dataset
        try folder.remove("labels.csv")
        try folder.write(
            "\n" + #"{"series": "1.2.77.1", "slice": 0, "task": "vqa", "question": "Which?", "answer": "lung"}"#
                + "\n[]\n",
            to: "labels.jsonl"
        )
        let (second, report) = try runImport("dicom", folder.url, options: salted)
        #expect(first == second)
        #expect(report.tallies["row"]?.skippedCount == 1)
        let name = try #require(first.samples[0].image?.path.split(separator: "/").first)
        let line = #"{"series": "\#(name)", "slice": 0, "task": "vqa", "question": "Which?", "answer": "lung"}"#
        try folder.write("\n" + line, to: "labels.jsonl")
        #expect(try runImport("dicom", folder.url, options: salted).dataset == first)
        // Another salt makes other names of the same pictures.
        try folder.write(line.replacing("\(name)", with: "1.2.77.1"), to: "labels.jsonl")
        let other = try runImport("dicom", folder.url, options: options(["salt": "t"])).dataset
        #expect(other.samples[0].group != first.samples[0].group)
        #expect(other.samples[0].image?.path != first.samples[0].image?.path)
    }

    @Test func `a series without a slice is a volume where the row or the setting says so, in the order of places`()
        throws
    {
        let header = "file,series,slice,volume,task,question,answer,object,xMin,yMin,xMax,yMax,zMin,zMax\n"
        let rows = [
            ",1.2.77.1,,true,rec,,,heart,1,2,5,6,1,3", ",1.2.77.1,,,vqa,Which?,lung,,,,,,,",
            ",1.2.77.1,0,,vqa,Which?,a,,,,,,,",
            ",1.2.77.1,,false,vqa,Which?,b,,,,,,,", "scan/a,,,,vqa,Which?,c,,,,,,,",
        ]
        let folder = try makeFolder(table: header + rows.joined(separator: "\n") + "\n")
        func run(_ settings: [String: String]) throws -> (samples: [Sample], importer: any DatasetImporter) {
            let importer = try ImporterRegistry.standard.entry(named: "dicom")
                .importer(root: folder.url, options: options(settings))
            var report = ImportReport()
            return (try importer.checkedImport(faults: .refuse, report: &report).samples, importer)
        }
        // Values from 100 to 347, one slice a hundred above the other: files c, a, b.
        let (samples, importer) = try run(["window": "200/400"])
        let volume = try #require(samples[0].image)
        #expect(volume.volume == VolumeReference(slices: 3, spacing: 1, axis: .axial))
        #expect(volume.width == 8 && volume.height == 6 && !volume.path.contains("/"))
        #expect(samples[0].box3D?.slices == SliceRange(1...2))
        #expect(samples.map { $0.image?.volume != nil } == [true, false, false, false, false])
        #expect(try volume.pictures.map { try importer.picture($0).pixels[0] } == [64, 128, 191])
        #expect(samples[1].image?.path.hasSuffix("/1") == true && samples[3].image?.path == samples[1].image?.path)
        let (all, _) = try run(["volumes": "true"])
        #expect(all.map { $0.image?.volume != nil } == [true, true, false, false, false])
        #expect(
            importError { _ = try run(["volumes": "true", "window": "lung,bone,brain"]) }?.cause.field
                == "settings.window"
        )
        #expect(importError { _ = try run(["volumes": "some"]) }?.cause.field == "settings.volumes")
        // Prepared data hold the slices, which are found by the volume.
        let data = try DatasetPreparation(importers: [importer], imageSize: 8).prepare(
            into: folder.file("../\(UUID())")
        ).data
        defer { try? FileManager.default.removeItem(at: data.folder) }
        #expect(data.images.positions(dataset: "dicom", image: volume)?.count == 3 && data.verify().isEmpty)
    }

    @Test func `the window of a volume is the file's, and MONOCHROME1 is shown as it is meant`() throws {
        let table = "series,volume,task,answer\n1.2.77.1,true,rg,all\n"
        func greys(_ change: @escaping (inout DICOMBuilder) -> Void) throws -> [UInt8] {
            let folder = try makeFolder(table: table, change: change)
            let importer = try ImporterRegistry.standard.entry(named: "dicom").importer(
                root: folder.url,
                options: options()
            )
            var report = ImportReport()
            let image = try #require(try importer.importSamples(report: &report).samples.first?.image)
            return try image.pictures.map { try importer.picture($0).pixels[0] }
        }
        func window(_ builder: inout DICOMBuilder) {
            builder.set(0x0028_1050, "DS", .text("200"))
            builder.set(0x0028_1051, "DS", .text("400"))
        }
        #expect(try greys(window) == [64, 128, 191])
        let inverted = try greys { builder in
            window(&builder)
            builder.set(0x0028_0004, "CS", .text("MONOCHROME1"))
        }
        #expect(inverted == [191, 128, 64])
        // Without a window the percentiles are used: the first pixel of the first slice is the smallest value.
        let spread = try greys { _ in }
        #expect(spread[0] == 0 && spread[1] > 0 && spread[2] > spread[1])
    }

    @Test func `the window is a setting`() throws {
        let folder = try makeFolder(table: "file,task,question,answer\nsingle.dcm,vqa,Which?,lung\n")
        func picture(_ settings: [String: String]) throws -> RGBImage {
            let importer = try ImporterRegistry.standard.entry(named: "dicom")
                .importer(root: folder.url, options: options(settings))
            var report = ImportReport()
            let dataset = try importer.importSamples(report: &report)
            return try importer.picture(#require(dataset.samples[0].image))
        }
        let file = try DICOMFile(contentsOf: folder.file("single.dcm"))
        #expect(try picture([:]) == file.picture())
        #expect(try picture(["window": "lung"]) == file.picture(rendering: .window(.lung)))
        #expect(try picture(["window": "520/30"]) != file.picture())
        #expect(importError { _ = try picture(["window": "liver"]) }?.cause.field == "settings.window")
        #expect(importError { _ = try picture(["allow-burned-in": "perhaps"]) } != nil)
    }

    @Test func `pictures that may tell who the patient is are refused unless allowed`() throws {
        let table = "file,task,question,answer\nsingle.dcm,vqa,Which?,lung\nscan/a,vqa,Which?,lung\n"
        let cases: [(String, String, (inout DICOMBuilder) -> Void)] = [
            ("allow-burned-in", "burned", { $0.set(0x0028_0301, "CS", .text("YES")) }),
            ("allow-burned-in", "capture", { $0.set(0x0008_0016, "UI", .text("1.2.840.10008.5.1.4.1.1.7")) }),
            ("allow-recognizable-features", "recogniz", { $0.set(0x0028_0302, "CS", .text("YES")) }),
        ]
        for (setting, word, change) in cases {
            let folder = try makeFolder(table: table, change: change)
            let (refused, report) = try runImport("dicom", folder.url, options: options())
            #expect(refused.samples.isEmpty)
            #expect(report.tallies["row"]?.skipped.keys.allSatisfy { $0.contains(word) } == true)
            #expect(report.warnings.contains { $0.hasPrefix("4 DICOM files") && $0.hasSuffix("refused") })
            let (taken, told) = try runImport("dicom", folder.url, options: options([setting: "true"]))
            #expect(taken.samples.count == 2)
            #expect(told.warnings.contains { $0.hasSuffix("allowed") })
        }
        // A secondary capture that says it has no text is taken.
        let folder = try makeFolder(table: table) { builder in
            builder.set(0x0008_0016, "UI", .text("1.2.840.10008.5.1.4.1.1.7"))
            builder.set(0x0028_0301, "CS", .text("NO"))
        }
        #expect(try runImport("dicom", folder.url, options: options()).dataset.samples.count == 2)
    }

    @Test func `nothing that identifies a person is in prepared data, reports or errors`() throws {
        let folder = try MadeFolder()
        let secret = "SECRETPERSON"
        let number = "987654321"
        func build(_ index: Int) -> DICOMBuilder {
            var builder = Self.slice(patient: "\(secret)\(index)", series: "1.2.\(number).\(index)", value: 100)
            // Every element of the profile, those that hold structure aside, holds something that must not get out.
            let kept: Set<DICOMTag> = [DICOMTag(0x0020, 0x000D), DICOMTag(0x0020, 0x000E)]
            for tag in DICOMTag.basicProfile where !kept.contains(tag) {
                guard tag.rawValue >> 16 >= 8, tag.rawValue < 0x7FE0_0000 else { continue }
                builder.set(tag.rawValue, "LO", .text("\(secret) \(number)"))
            }
            builder.set(0x0009_1001, "LO", .text(secret))
            // Technical elements that hold a name instead of a term.
            builder.set(0x0008_0060, "CS", .text(secret))
            builder.set(0x0018_0015, "CS", .text(secret))
            builder.set(0x0018_5101, "CS", .text(secret))
            return builder
        }
        try folder.write(build(1).data(), to: "in/\(secret)/\(secret)-1.dcm")
        try folder.write(build(2).data(), to: "in/\(secret)/\(secret)-2.dcm")
        try folder.write(build(3).data().dropLast(9), to: "in/\(secret)/\(secret)-damaged.dcm")
        try folder.write(
            """
            file,series,task,question,answer
            \(secret)/\(secret)-1.dcm,,vqa,Which?,lung
            ,1.2.\(number).2,vqa,Which?,heart
            \(secret)/\(secret)-damaged.dcm,,vqa,Which?,lung
            ,1.2.\(number).3,vqa,Which?,lung

            """,
            to: "in/labels.csv"
        )
        let importer = try ImporterRegistry.standard.entry(named: "dicom")
            .importer(root: folder.file("in"), options: options())
        var report = ImportReport()
        let dataset = try importer.importSamples(report: &report)
        #expect(dataset.samples.count == 2 && report.tallies["row"]?.skippedCount == 2)
        #expect(!"\(report)".contains(secret) && !"\(report)".contains(number))

        let preparation = try DatasetPreparation(importers: [importer], imageSize: 16)
        _ = try preparation.prepare(into: folder.file("out"))
        let written = try #require(
            FileManager.default.enumerator(at: folder.file("out"), includingPropertiesForKeys: nil)
        )
        var files = 0
        for case let url as URL in written {
            let path = url.path.dropFirst(folder.file("out").path.count)
            #expect(!path.contains(secret) && !path.contains(number))
            guard let data = try? Data(contentsOf: url) else { continue }
            files += 1
            for word in [secret, number] {
                #expect(data.range(of: Data(word.utf8)) == nil, "\(path)")
            }
        }
        #expect(files >= 3)

        // A picture that is lost between reading and decoding is told by its new name.
        let lost = try #require(dataset.samples[0].image)
        try folder.remove("in/\(secret)")
        let error = try #require(throws: ImagingError.self) { _ = try importer.picture(lost) }
        #expect(!error.description.contains(secret) && error.description.contains(lost.path))
    }
}
