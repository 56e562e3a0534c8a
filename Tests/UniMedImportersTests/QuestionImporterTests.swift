import Foundation
import Testing
import UniMedData
import UniMedImporters

@Suite("PubMedQA importer")
struct PubMedQAImporterTests {
    private func layOut(_ folder: MadeFolder, count: Int = 10) throws {
        let records = (0..<count).map { number in
            let answer = ["yes", "no", "maybe"][number % 3]
            return
                #""\#(1000 + number)":{"QUESTION":"Is it \#(number)?","CONTEXTS":["c"],"final_decision":"\#(answer)"}"#
        }
        try folder.write("{\(records.joined(separator: ","))}", to: "data/ori_pqal.json")
    }

    @Test func `a question becomes a sample with its three choices`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        let (dataset, report) = try runImport("pubmedqa", folder.url)
        #expect(report.tallies["qa"]?.imported == 10)
        let sample = try #require(dataset.samples.first { $0.id == "1002" })
        #expect(sample.question == "Is it 2?" && sample.answer == "maybe" && sample.group == "1002")
        #expect(sample.choices == ["yes", "no", "maybe"])
        #expect(dataset.samples.map(\.id) == dataset.samples.map(\.id).sorted())
        #expect(dataset.annotations.isEmpty)
    }

    @Test func `the split follows the fraction and the seed alone`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        func validation(_ fraction: Double, _ seed: UInt64, test: Double = 0) throws -> [String] {
            let options = ImportOptions(validationFraction: fraction, testFraction: test, seed: seed)
            return try runImport("pubmedqa", folder.url, options: options).dataset.samples
                .filter { $0.split == .validation }.map(\.id)
        }
        #expect(try validation(0.3, 1).count == 3)
        #expect(try validation(0.3, 1) == validation(0.3, 1))
        #expect(try validation(0.5, 1) != validation(0.5, 2))
        #expect(try validation(0, 1).isEmpty)
        #expect(try validation(1, 1).count == 10)
        // The validation split does not change when a test split is taken from the rest.
        #expect(try validation(0.3, 1, test: 0.5) == validation(0.3, 1))
    }

    @Test func `the questions of the project's test file are the test split`() throws {
        let folder = try MadeFolder()
        try layOut(folder)
        try folder.write(#"{"1001":"no","1004":"no","9999":"yes"}"#, to: "data/test_ground_truth.json")
        let samples = try runImport("pubmedqa", folder.url).dataset.samples
        #expect(samples.filter { $0.split == .test }.map(\.id) == ["1001", "1004"])
        #expect(samples.filter { $0.split == .validation }.count == 2)
    }

    @Test func `records without question or decision are skipped and counted`() throws {
        let folder = try MadeFolder()
        try folder.write(
            #"{"1":{"QUESTION":" ","final_decision":"yes"},"2":{"final_decision":"no"},"#
                + #""3":{"QUESTION":"Q","final_decision":"perhaps"},"4":{"QUESTION":"Q\n two","final_decision":"Yes"}}"#,
            to: "ori_pqal.json"
        )
        let (dataset, report) = try runImport("pubmedqa", folder.url)
        #expect(dataset.samples.map(\.question) == ["Q two"])
        let skipped = try #require(report.tallies["qa"]?.skipped)
        #expect(skipped == ["no question": 2, "the decision is not yes, no or maybe": 1])
        #expect(report.examples["qa: no question"] == ["1", "2"])
    }

    @Test(arguments: [
        (#"[]"#, "expected an object, found another type"), ("", "not valid JSON"), (#"{"1":"#, "not valid JSON"),
    ])
    func `a malformed file is named with its field`(text: String, expected: String) throws {
        let folder = try MadeFolder()
        try folder.write(text, to: "data/ori_pqal.json")
        let error = try #require(importError { _ = try runImport("pubmedqa", folder.url) })
        #expect(error.description.hasPrefix("pubmedqa: \(folder.url.path)/data/ori_pqal.json"))
        #expect(error.description.hasSuffix(expected), "\(error)")
    }

    @Test func `an empty and a missing folder are said to be so`() throws {
        let folder = try MadeFolder()
        let empty = try #require(importError { _ = try runImport("pubmedqa", folder.url) })
        #expect(empty.description.contains("no data/ori_pqal.json or ori_pqal.json in it"))
        let missing = try #require(importError { _ = try runImport("pubmedqa", folder.file("none")) })
        #expect(missing.description.hasSuffix("/none: no such folder"))
    }

    // Skipped where the real data are not there. The counts are those of the data sheet.
    @Test(.enabled(if: RealData.has("pubmedqa")))
    func `the labelled set has 500 questions`() throws {
        let (dataset, report) = try runImport("pubmedqa", RealData.root.appendingPathComponent("pubmedqa"))
        #expect(report.tallies["qa"]?.found == 500 && dataset.samples.count == 500)
        let answers = Dictionary(grouping: dataset.samples, by: \.answer).mapValues(\.count)
        #expect(answers == ["yes": 276, "no": 169, "maybe": 55])
        #expect(dataset.samples.filter { $0.split == .validation }.count == 100)
    }
}

@Suite("MedQA importer")
struct MedQAImporterTests {
    private func line(_ question: String, answer: String = "second", letter: String = "B") -> String {
        #"{"question":"\#(question)","answer":"\#(answer)","options":{"B":"second","A":"first","C":"third"},"#
            + #""meta_info":"step1","answer_idx":"\#(letter)","metamap_phrases":["x"]}"#
    }

    @Test func `options stand in the order of their letters`() throws {
        let folder = try MadeFolder()
        try folder.write(line("Which?") + "\n", to: "questions/US/train.jsonl")
        let (dataset, report) = try runImport("medqa", folder.url)
        let sample = try #require(dataset.samples.first)
        #expect(sample.id == "train-1" && sample.question == "Which?" && sample.answer == "second")
        #expect(sample.choices == ["first", "second", "third"])
        #expect(report.tallies["file"]?.imported == 1)
    }

    @Test func `several files are split by their names and others are left out`() throws {
        let folder = try MadeFolder()
        for name in ["train", "dev", "test", "US_qbank"] {
            try folder.write(line("Which \(name)?"), to: "questions/US/\(name).jsonl")
        }
        try folder.write("no questions", to: "questions/US/readme.txt")
        let (dataset, report) = try runImport("medqa", folder.url)
        #expect(dataset.samples.map(\.id) == ["dev-1", "test-1", "train-1"])
        #expect(dataset.samples.map(\.split) == [.validation, .test, .train])
        let files = try #require(report.tallies["file"])
        #expect(files.found == 4)
        #expect(files.skipped == ["its name is not that of a split": 1])
    }

    @Test func `a single file is divided, equal questions together`() throws {
        let folder = try MadeFolder()
        let lines = (0..<40).map { line("Which \($0 / 2)?") }
        try folder.write(lines.joined(separator: "\n"), to: "questions/US/train.jsonl")
        let samples = try runImport("medqa", folder.url).dataset.samples
        #expect(samples.filter { $0.split == .validation }.count == 8)
        #expect(samples.filter { $0.split == .train }.count == 32)
    }

    @Test func `unusable questions are skipped and counted`() throws {
        let folder = try MadeFolder()
        let lines = [
            line("Which?", answer: "first"), line("Which?", letter: "E"), line(" "),
            #"{"question":"Which?","answer":"a","options":{"A":"a"},"answer_idx":"A"}"#,
            #"{"question":"Which?","answer":"a","options":{"A":"a","B":" "},"answer_idx":"A"}"#, "", line("Good?"),
        ]
        try folder.write(lines.joined(separator: "\n"), to: "questions/US/train.jsonl")
        let (dataset, report) = try runImport("medqa", folder.url)
        #expect(dataset.samples.map(\.id) == ["train-7"])
        let tally = try #require(report.tallies["qa"])
        #expect(tally.found == 6 && tally.skippedCount == 5 && tally.skipped.count == 5)
    }

    @Test func `a line that is no question is skipped, or refused by its name`() throws {
        let folder = try MadeFolder()
        try folder.write(line("Which?") + "\n{\"question\": [1]}\n", to: "questions/US/train.jsonl")
        let report = try runImport("medqa", folder.url).report
        let reason = "field 'question': expected text, found another type"
        #expect(report.tallies["qa"]?.skipped == [reason: 1] && report.examples["qa: \(reason)"] == ["train-2"])
        let importer = try ImporterRegistry.standard.entry(named: "medqa").importer(root: folder.url)
        let error = importError {
            var report = ImportReport()
            _ = try importer.checkedImport(faults: .refuse, report: &report)
        }
        #expect(error?.description == "medqa: qa train-2: \(reason)")
        try folder.remove("questions/US/train.jsonl")
        let empty = try #require(importError { _ = try runImport("medqa", folder.url) })
        #expect(empty.description.contains("no file questions/US/*.jsonl in it"))
    }

    // Skipped where the real data are not there. The counts are those of the data sheet.
    @Test(.enabled(if: RealData.has("medqa")))
    func `the US questions are 900`() throws {
        let (dataset, report) = try runImport("medqa", RealData.root.appendingPathComponent("medqa"))
        #expect(report.tallies["qa"]?.found == 900 && dataset.samples.count == 900)
        let letters = dataset.samples.map { $0.choices?.firstIndex(of: $0.answer) ?? -1 }
        let counts = (0..<4).map { letter in letters.count { $0 == letter } }
        #expect(counts == [250, 216, 244, 190])
        #expect(dataset.samples.allSatisfy { $0.choices?.count == 4 })
    }
}
