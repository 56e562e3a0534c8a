import Foundation
import Testing
import UniMedData
import UniMedImporters

@Suite("Counts of the paper")
struct PaperCountsTests {
    private func samples(_ task: MedicalTask, train: Int, validation: Int = 0, test: Int) -> [Sample] {
        [(Split.train, train), (.validation, validation), (.test, test)].flatMap { split, count in
            (0..<count).map { number in
                Sample(id: "\(split) \(number)", dataset: "d", split: split, task: task, answer: "a")
            }
        }
    }

    private func comparisons(_ importer: String, _ samples: [Sample]) -> [PaperComparison] {
        var report = ImportReport()
        PaperCounts.check(importer, samples, report: &report)
        return report.paperComparisons
    }

    @Test func `table 4 has twelve sets, each of an importer`() throws {
        #expect(PaperCounts.all.count == 12)
        for counts in PaperCounts.all { _ = try ImporterRegistry.standard.entry(named: counts.importer) }
        let sum = PaperCounts.all.reduce(into: (0, 0)) { $0 = ($0.0 + $1.train, $0.1 + $1.test) }
        #expect(sum.0 == 10178 + 500 + 6018 + 2 * 1421 + 19755 + 2 * 20000 + 9997 + 31416 + 7007 + 13932)
        #expect(sum.1 == 1273 + 500 + 1014 + 2 * 201 + 6761 + 2 * 4000 + 3858 + 6664 + 2005 + 8827)
    }

    @Test(arguments: 0..<12)
    func `equal numbers agree, others say by how much they differ, small sets say nothing`(index: Int) throws {
        let counts = PaperCounts.all[index]
        let whole = samples(counts.task, train: counts.train, test: counts.test)
        let same = try #require(comparisons(counts.importer, whole).first { $0.kind == counts.task.rawValue })
        #expect(same.agrees && same.train == counts.train && same.test == counts.test)
        #expect(same.description.contains("as in the paper") && !same.description.contains("than the paper"))
        let fewer = try #require(comparisons(counts.importer, whole.dropLast(3)).first)
        #expect(!fewer.agrees && fewer.description.contains("3 fewer than the paper"))
        let extra = whole + samples(counts.task, train: 0, test: 2)
        #expect(comparisons(counts.importer, extra).first?.description.contains("2 more than the paper") == true)
        #expect(comparisons(counts.importer, Array(whole.prefix(whole.count / 3))).isEmpty)
    }

    @Test func `validation counts for training only where the publisher has no such split`() throws {
        let pubMedQA = samples(.questionAnswering, train: 450, validation: 50, test: 500)
        #expect(comparisons("pubmedqa", pubMedQA).map(\.agrees) == [true])
        let medQA = samples(.questionAnswering, train: 10_178, validation: 1_272, test: 1_273)
        #expect(comparisons("medqa", medQA).map(\.agrees) == [true])
    }

    @Test func `of random splits the sums are compared`() throws {
        let moved = samples(.visualQuestionAnswering, train: 6_000, test: 1_032)
        let comparison = try #require(comparisons("slake", moved).first)
        #expect(comparison.agrees && comparison.description.contains("the paper drew 6018 and 1014"))
    }

    @Test func `Slake's 642 images are divided 550 to 92 by the seed`() {
        let names = (0..<642).map { "xmlab\($0)" }
        let splits = SlakeImporter.splits(of: names, seed: 0)
        #expect(splits.values.count { $0 == .train } == 550 && splits.values.count { $0 == .test } == 92)
        #expect(SlakeImporter.splits(of: names.reversed(), seed: 0) == splits)
        #expect(SlakeImporter.splits(of: names, seed: 1) != splits)
    }

    @Test func `a whole set says that it agrees when it is imported`() throws {
        let folder = try MadeFolder()
        func records(_ numbers: Range<Int>) -> String {
            "{"
                + numbers.map { #""\#($0)":{"QUESTION":"Is it \#($0)?","final_decision":"yes"}"# }.joined(
                    separator: ","
                )
                + "}"
        }
        try folder.write(records(0..<450), to: "data/pqal_fold3/train_set.json")
        try folder.write(records(450..<500), to: "data/pqal_fold3/dev_set.json")
        try folder.write(records(500..<1000), to: "data/test_set.json")
        let report = try runImport("pubmedqa", folder.url).report
        #expect(
            report.paperComparisons.map(\.description) == [
                "qa: 500 samples for training, as in the paper; 500 for testing, as in the paper"
            ]
        )
        let text = try JSONEncoder().encode(report)
        #expect(try JSONDecoder().decode(ImportReport.self, from: text) == report)
    }
}

@Suite("Folds of PubMedQA")
struct PubMedQAFoldTests {
    private func layOut(_ folder: MadeFolder) throws {
        func record(_ number: Int) -> String { #""\#(number)":{"QUESTION":"Is it \#(number)?","final_decision":"no"}"# }
        for fold in 0..<3 {
            let development = [10 + fold]
            let train = (10..<13).filter { !development.contains($0) }
            try folder.write(
                "{\(train.map(record).joined(separator: ","))}",
                to: "data/pqal_fold\(fold)/train_set.json"
            )
            try folder.write("{\(record(development[0]))}", to: "data/pqal_fold\(fold)/dev_set.json")
        }
        try folder.write("{\(record(20)),\(record(21))}", to: "data/test_set.json")
        try folder.write("{\([10, 11, 12, 20, 21].map(record).joined(separator: ","))}", to: "data/ori_pqal.json")
    }

    private func validation(_ folder: MadeFolder, _ settings: [String: String]) throws -> [String] {
        try runImport("pubmedqa", folder.url, options: ImportOptions(settings: settings)).dataset.samples
            .filter { $0.split == .validation }.map(\.id)
    }

    @Test func `the setting names the fold, and all questions are there`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        for fold in 0..<3 { #expect(try validation(folder, ["fold": "\(fold)"]) == ["\(10 + fold)"]) }
        let samples = try runImport("pubmedqa", folder.url, options: ImportOptions(settings: ["fold": "1"])).dataset
            .samples
        #expect(samples.map(\.id) == ["10", "11", "12", "20", "21"])
        #expect(samples.filter { $0.split == .test }.map(\.id) == ["20", "21"])
    }

    @Test func `without the whole file the first fold is read`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        try folder.remove("data/ori_pqal.json")
        try folder.remove("data/pqal_fold0")
        #expect(try validation(folder, [:]) == ["11"])
        #expect(importError { _ = try validation(folder, ["fold": "0"]) }?.cause.kind == .missing)
    }

    @Test(arguments: ["10", "-1", "x", ""])
    func `a fold that is none is refused`(fold: String) {
        let error = importError {
            _ = try PubMedQAImporter(
                root: URL(fileURLWithPath: "/"),
                options: ImportOptions(settings: ["fold": fold])
            )
        }
        #expect(error?.cause.field == "settings.fold")
    }
}
