import Foundation
import Testing
import UniMedData
import UniMedImporters

// Skipped where the real data are not there. The counts are those of the data sheet.
@Suite("Real data")
struct RealDataTests {
    private func labels(_ folder: String, _ settings: [String: String]) throws -> (ImportedDataset, ImportReport) {
        let options = ImportOptions(settings: settings.merging(["imageFolder": "images"]) { given, _ in given })
        return try runImport("csv", RealData.root.appendingPathComponent("cxr/\(folder)"), options: options)
    }

    @Test(.enabled(if: RealData.has("cxr/figure1")))
    func `the 55 chest X-rays of Figure 1 have 40 findings, in Latin-1`() throws {
        let settings = ["imageColumn": "patientid", "labelColumn": "finding"]
        let (dataset, report) = try labels("figure1", settings.merging(["encoding": "latin1"]) { given, _ in given })
        let rows = try #require(report.tallies["row"])
        #expect(rows.found == 55 && rows.imported == 40 && rows.skipped == ["no label": 15])
        let counts = Dictionary(grouping: dataset.samples, by: \.answer).mapValues(\.count)
        #expect(counts == ["COVID-19": 35, "No finding": 3, "Pneumonia": 2])
        // Read as UTF-8 the row with the degree sign is told, not lost.
        let wrong = try labels("figure1", settings).1
        #expect(wrong.tallies["row"]?.found == 55)
        #expect(wrong.tallies["row"]?.skipped["not UTF-8 text (see the setting 'encoding')"] ?? 0 > 0)
    }

    @Test(.enabled(if: RealData.has("cxr/actualmed")))
    func `the 12 chest X-rays of Actualmed have 8 findings`() throws {
        let (dataset, report) = try labels(
            "actualmed",
            ["imageColumn": "imagename", "labelColumn": "finding", "groupColumn": "patientid"]
        )
        #expect(report.tallies["row"]?.found == 12 && report.tallies["row"]?.skipped == ["no label": 4])
        let counts = Dictionary(grouping: dataset.samples, by: \.answer).mapValues(\.count)
        #expect(counts == ["COVID-19": 4, "No finding": 4])
        #expect(dataset.samples.allSatisfy { $0.group?.hasPrefix("ANON") == true })
    }

    // The sums are those of Pillow's `getbbox` over all masks.
    @Test(.enabled(if: RealData.has("sam-med2d-demo")))
    func `the demo's masks give the boxes that Pillow gives`() throws {
        let root = RealData.root.appendingPathComponent("sam-med2d-demo/data_demo")
        let boxes = try runImport("sa-med2d-all", root).dataset.samples
            .filter { $0.task == .referringExpressionComprehension }.compactMap(\.box)
        #expect(boxes.count == 30)
        let sums = [\BoundingBox.xMin, \.yMin, \.xMax, \.yMax].map { edge in boxes.reduce(0) { $0 + $1[keyPath: edge] }
        }
        #expect(sums == [3883, 2662, 5163, 3766])
    }
}
