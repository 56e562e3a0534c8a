import Foundation
import Testing
import UniMedRuns

/// A folder of its own for one test, removed with the object.
private final class TemporaryFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("unimed-runs-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    var store: URL { url.appendingPathComponent("deeper/runs.sqlite") }
}

private func run(_ id: String, name: String = "mini", started: String = "2026-01-01T00:00:00Z") -> StoredRun {
    StoredRun(
        id: id,
        name: name,
        folder: "/runs/\(id)",
        isFinished: true,
        started: started,
        updated: started,
        seed: "18446744073709551615",
        steps: 10,
        seconds: 1.5,
        loss: 0.25,
        recipeDigest: "recipe-\(name)"
    )
}

private func recipe(_ name: String = "mini") -> StoredRecipe {
    StoredRecipe(digest: "recipe-\(name)", yaml: "name: \(name)\n", fields: ["name": name, "training.steps": "10"])
}

private func evaluation(_ id: String, of run: String?, recorded: String = "2026-01-02T00:00:00Z") -> StoredEvaluation {
    StoredEvaluation(
        id: id,
        runID: run,
        recorded: recorded,
        command: "evaluate",
        predictions: "/p.jsonl",
        predictionsDigest: "d",
        predictionCount: 3,
        split: "test"
    )
}

private func score(_ evaluation: String, _ metric: String, _ value: Double, leaks: String? = "0") -> StoredScore {
    StoredScore(
        evaluationID: evaluation,
        dataset: "made",
        task: "vqa",
        subset: "all",
        metric: metric,
        isPrimary: metric == "bleu1",
        n: 3,
        skipped: nil,
        unparsable: 1,
        leaks: leaks,
        value: value,
        lower: 0.1,
        upper: nil
    )
}

@Suite("Store of runs")
struct RunStoreTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func `what is recorded is read back by another opening`() throws {
        let curve = StoredCurve(series: "loss", steps: [1, 2, 5], values: [3, 2, 1])
        do {
            let store = try RunStore(at: folder.store)
            try store.record(run("aaaa11"), recipe: recipe(), curves: [curve])
            try store.record(
                evaluation("e1", of: "aaaa11"),
                scores: [score("e1", "bleu1", 0.5), score("e1", "f1", 0.7)]
            )
        }
        let store = try RunStore(at: folder.store, creating: false)
        #expect(try store.runs() == [run("aaaa11")])
        #expect(try store.recipe(of: run("aaaa11")) == recipe())
        #expect(try store.curves(of: "aaaa11") == [curve])
        #expect(try store.evaluations(of: "aaaa11") == [evaluation("e1", of: "aaaa11")])
        #expect(try store.scores(of: "e1") == [score("e1", "bleu1", 0.5), score("e1", "f1", 0.7)])
    }

    @Test func `recording again replaces the run and its curves and keeps its evaluations`() throws {
        let store = try RunStore(at: folder.store)
        try store.record(
            run("aaaa11"),
            recipe: recipe(),
            curves: [StoredCurve(series: "loss", steps: [1, 2], values: [2, 1])]
        )
        try store.record(evaluation("e1", of: "aaaa11"), scores: [score("e1", "bleu1", 0.5)])
        var later = run("aaaa11")
        later.steps = 20
        let curve = StoredCurve(series: "loss", steps: [7], values: [0.5])
        try store.record(later, recipe: recipe(), curves: [curve])
        #expect(try store.runs() == [later])
        #expect(try store.curves(of: "aaaa11") == [curve])
        #expect(try store.scores(of: "e1").count == 1)
        try store.record(evaluation("e1", of: "aaaa11"), scores: [score("e1", "f1", 0.9, leaks: nil)])
        #expect(try store.scores(of: "e1") == [score("e1", "f1", 0.9, leaks: nil)])
    }

    @Test func `deleting a run removes what belongs to it and nothing else`() throws {
        let store = try RunStore(at: folder.store)
        for id in ["aaaa11", "bbbb22"] {
            try store.record(
                run(id, name: id),
                recipe: recipe(id),
                curves: [StoredCurve(series: "loss", steps: [1], values: [1])]
            )
            try store.record(evaluation("e\(id)", of: id), scores: [score("e\(id)", "bleu1", 0.5)])
        }
        #expect(try store.delete(["aaaa11", "unknown"]) == 1)
        #expect(try store.runs().map(\.id) == ["bbbb22"])
        #expect(try store.curves(of: "aaaa11").isEmpty && store.scores(of: "eaaaa11").isEmpty)
        #expect(try store.evaluations(of: "aaaa11").isEmpty && store.recipe(of: run("aaaa11", name: "aaaa11")) == nil)
        #expect(try store.scores(of: "ebbbb22").count == 1 && store.recipe(of: run("x", name: "bbbb22")) != nil)
    }

    @Test func `a run is meant by the start of its identifier, its folder or the latest of its name`() throws {
        let store = try RunStore(at: folder.store)
        try store.record(run("aaaa11"), recipe: recipe(), curves: [])
        try store.record(run("aaaa22", started: "2026-02-01T00:00:00Z"), recipe: recipe(), curves: [])
        #expect(try store.run("aaaa1").id == "aaaa11")
        #expect(try store.run("/runs/aaaa11").id == "aaaa11")
        #expect(try store.run("mini").id == "aaaa22")
        for text in ["aaaa", "nothing"] {
            let error = #expect(throws: RunStoreError.self) { try store.run(text) }
            #expect(error?.kind == .unknownRun)
        }
    }

    @Test func `several writers at once lose nothing`() async throws {
        let file = folder.store
        _ = try RunStore(at: file)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<4 {
                group.addTask {
                    let store = try RunStore(at: file)
                    for number in 0..<5 {
                        try store.record(run("run-\(writer)-\(number)"), recipe: recipe(), curves: [])
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try RunStore(at: file).runs().count == 20)
    }

    @Test func `a missing store and a file that is none are told`() throws {
        let missing = #expect(throws: RunStoreError.self) { try RunStore(at: folder.store, creating: false) }
        #expect(missing?.kind == .fileSystem)
        let other = folder.url.appendingPathComponent("other.sqlite")
        try Data(repeating: 7, count: 4096).write(to: other)
        let error = #expect(throws: RunStoreError.self) { try RunStore(at: other) }
        #expect(error?.kind == .format)
        #expect(error?.description.contains(other.path) == true)
    }

    @Test func `a long curve is kept as means of neighbours`() {
        let steps = Array(1...1200)
        let curve = StoredCurve(series: "loss", steps: steps, values: steps.map(Double.init)).sampled(to: 500)
        #expect(curve.steps.count == 400 && curve.steps.first == 3 && curve.steps.last == 1200)
        #expect(curve.values.first == 2 && curve.values.last == 1199)
        let short = StoredCurve(series: "loss", steps: [1, 2], values: [1, .nan]).sampled()
        #expect(short == StoredCurve(series: "loss", steps: [1], values: [1]))
    }
}
