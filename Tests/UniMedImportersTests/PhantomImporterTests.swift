import Foundation
import Testing
import UniMedData
import UniMedImaging
import UniMedImporters

@Suite("Phantom importer")
struct PhantomImporterTests {
    private func importer(seed: UInt64 = 3, trainCount: Int = 20, threadCount: Int = 2) -> PhantomImporter {
        let configuration = PhantomConfiguration(side: 64, trainCount: trainCount, validationCount: 5)
        return PhantomImporter(PhantomGenerator(seed: seed, configuration: configuration), threadCount: threadCount)
    }

    @Test func `every study is imported in order, whatever the number of threads`() {
        var report = ImportReport()
        let dataset = importer().importSamples(report: &report)
        #expect(report.isBalanced && report.tallies["image"]?.imported == 25)
        #expect(dataset.annotations.count { $0.split == .train } == 20)
        #expect(Set(dataset.samples.map(\.task)) == Set(MedicalTask.allCases))
        var other = ImportReport()
        #expect(importer(threadCount: 1).importSamples(report: &other) == dataset)
        #expect(other == report)
    }

    @Test func `prepared phantoms hold the drawn pictures and verify`() throws {
        let folder = try MadeFolder()
        let importer = importer()
        let preparation = try DatasetPreparation(importers: [importer], imageSize: 64)
        let data = try preparation.prepare(into: folder.file("out")).data
        #expect(data.verify().filter { $0.severity == .error } == [])
        let annotation = try #require(data.annotations.last)
        let position = try #require(data.images.position(dataset: "phantoms", path: annotation.image.path))
        let drawn = try importer.picture(annotation.image)
        #expect(data.images.withPixels(at: position) { Array($0) } == drawn.pixels)
        #expect(try preparation.prepare(into: folder.file("out")).wasReused)
    }

    @Test func `the seed and the numbers change the key`() throws {
        let key = try DatasetPreparation(importers: [importer()]).key()
        #expect(try DatasetPreparation(importers: [importer(threadCount: 1)]).key() == key)
        #expect(try DatasetPreparation(importers: [importer(seed: 4)]).key() != key)
        #expect(try DatasetPreparation(importers: [importer(trainCount: 21)]).key() != key)
    }

    @Test func `a path of no study has no picture`() {
        let reference = ImageReference(path: "phantom/none/1.png", width: 64, height: 64)
        #expect(throws: ImagingError.self) { try importer().picture(reference) }
    }
}
