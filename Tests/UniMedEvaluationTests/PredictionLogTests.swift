import Foundation
import Testing
import UniMedData
import UniMedEvaluation
import UniMedMetrics
import UniMedModel

@Suite("Kept answers", .serialized)
struct PredictionLogTests {
    /// A log file whose lines can be counted.
    private func lines(_ file: URL) throws -> [Substring] {
        try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
    }

    @Test func `a killed evaluation ends with the predictions and scores of an uninterrupted one`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let file = folder.url.appendingPathComponent("answers.jsonl")
        let evaluator = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: Tiny.options())
        let whole = try evaluator.evaluate(data)

        // The first run is stopped after its second batch, while it writes a third.
        var asked = 0
        #expect(throws: EvaluationError.cancelled) {
            try evaluator.evaluate(
                data,
                log: PredictionLog(at: file),
                isCancelled: { asked >= 8 },
                progress: { asked = $0.done }
            )
        }
        let kept = try lines(file)
        #expect(kept.count == 8)
        let handle = try FileHandle(forWritingTo: file)
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("{\"dataset\":\"made\",\"id\":\"half".utf8))
        try handle.close()

        let log = try PredictionLog(at: file)
        #expect(log.count == 8)
        var first: Int?
        let resumed = try evaluator.evaluate(data, log: log, progress: { first = first ?? $0.done })
        #expect(first == 8, "what is kept is not asked again")
        #expect(resumed.predictions == whole.predictions)
        #expect(resumed.table == whole.table)
        #expect(resumed.generatedTokenCount == whole.generatedTokenCount)
        #expect(try Array(lines(file).prefix(8)) == kept, "the torn line is gone, the whole ones stay")
        #expect(try lines(file).count == whole.predictions.count)
    }

    @Test func `an answer that is kept is taken without asking the model`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let file = folder.url.appendingPathComponent("answers.jsonl")
        _ = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: Tiny.options())
            .evaluate(data, log: PredictionLog(at: file))
        let changed = try String(contentsOf: file, encoding: .utf8)
            .replacing(/"text":"(\\.|[^"\\])*"/, with: "\"text\":\"kept\"")
        try Data(changed.utf8).write(to: file)
        let result = try Evaluator(model: Tiny.model(), tokenizer: ByteTokenizer(), options: Tiny.options())
            .evaluate(data, log: PredictionLog(at: file))
        #expect(result.predictions.allSatisfy { $0.prediction == "kept" })
    }

    @Test func `a whole line that is no answer is refused with its number`() throws {
        let folder = try TemporaryFolder()
        let file = folder.url.appendingPathComponent("answers.jsonl")
        try Data("{\"dataset\":1}\n".utf8).write(to: file)
        #expect(throws: DataError.self) { try PredictionLog(at: file) }
    }

    @Test func `the parts of several processes are the whole, each sample once`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let model = try Tiny.model()
        let whole = try Evaluator(model: model, tokenizer: ByteTokenizer(), options: Tiny.options()).evaluate(data)
        var files: [PredictionScorer.File] = []
        var together: [PredictionRecord] = []
        for index in 1...3 {
            var options = Tiny.options()
            options.shard = EvaluationShard(index: index, count: 3)
            let part = try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options).evaluate(data)
            together += part.predictions
            files.append(PredictionScorer.File(name: "\(index)", records: part.predictions))
        }
        let key = { (record: PredictionRecord) in record.task.rawValue + record.id }
        #expect(together.sorted { key($0) < key($1) } == whole.predictions.sorted { key($0) < key($1) })
        let scorer = PredictionScorer(bootstrap: PairedBootstrap(resampleCount: 20))
        let report = try scorer.report(files)
        #expect(report.runCount == 1)
        let direct = try scorer.report([PredictionScorer.File(name: "whole", records: whole.predictions)])
        for (row, other) in zip(report.rows, direct.rows) {
            #expect(row.n == other.n)
            for (cell, same) in zip(row.cells, other.cells) { #expect(abs(cell.value - same.value) < 1e-12) }
        }
    }

    @Test(arguments: ["0/2", "3/2", "1", "a/b", "1/2/3", "1/0"])
    func `a part that is none is refused`(text: String) {
        #expect(EvaluationShard(text) == nil)
    }

    @Test func `the likelihoods of choices do not depend on the batch, and are log-probabilities`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let model = try Tiny.model()
        let scores = try [1, 2, 8].map { size in
            var options = Tiny.options(batchSize: size)
            options.tasks = [.imageClassification]
            options.scoresChoices = true
            return try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options).evaluate(data).predictions
                .map { try #require($0.choiceScores) }
        }
        #expect(scores[0].allSatisfy { $0.count == 4 })
        for (first, others) in zip(scores[0], zip(scores[1], scores[2])) {
            for (value, (second, third)) in zip(first, zip(others.0, others.1)) {
                #expect(value < 0)
                #expect(abs(value - second) < 1e-3 * abs(value))
                #expect(abs(value - third) < 1e-3 * abs(value))
            }
        }
        #expect(Set(scores[0].joined().map { ($0 * 1e3).rounded() }).count > 1, "labels differ in their likelihood")
    }

    @Test func `answers do not depend on the order of the data`() throws {
        let folder = try TemporaryFolder()
        let data = try Tiny.data(folder)
        let model = try Tiny.model()
        let forward = try Evaluator(model: model, tokenizer: ByteTokenizer(), options: Tiny.options(batchSize: 3))
            .evaluate(data).predictions
        // Parts of other sizes have each sample stand among others, in another order.
        var backward: [String: String] = [:]
        for index in (1...5).reversed() {
            var options = Tiny.options(batchSize: 2)
            options.shard = EvaluationShard(index: index, count: 5)
            for record in try Evaluator(model: model, tokenizer: ByteTokenizer(), options: options).evaluate(data)
                .predictions
            {
                backward[record.id] = record.prediction
            }
        }
        for record in forward { #expect(backward[record.id] == record.prediction) }
    }
}
