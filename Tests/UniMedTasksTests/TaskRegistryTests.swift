import Testing
import UniMedData
import UniMedMetrics
import UniMedTasks

@Suite("Task registry")
struct TaskRegistryTests {
    @Test func `every task has one definition`() {
        #expect(TaskRegistry.all.map(\.task) == MedicalTask.allCases)
    }

    @Test(arguments: MedicalTask.allCases)
    func `a perfect answer scores the maximum of every metric`(task: MedicalTask) throws {
        let definition = TaskRegistry.definition(of: task)
        let sample = Samples.sample(task)
        let score = try definition.score(prediction: try definition.target(for: sample), for: sample)
        #expect(score.isParsed)
        #expect(score.primary == definition.primaryMetric)
        #expect(definition.metrics.first == definition.primaryMetric)
        #expect(Set(score.values.keys) == Set(definition.metrics), "this sample has every metric of its task")
        for (metric, value) in score.values {
            #expect(abs(value - 1) < 1e-12, "\(metric)")
        }
    }

    @Test(arguments: MedicalTask.allCases)
    func `an empty answer scores the minimum and is counted as unparsed`(task: MedicalTask) throws {
        let sample = Samples.sample(task)
        let score = try TaskRegistry.definition(of: task).score(prediction: "", for: sample)
        #expect(!score.isParsed)
        #expect(score.values.values.allSatisfy { $0 == 0 })
    }

    @Test(arguments: MedicalTask.allCases, ["...", "<unk>", "{ }"])
    func `an answer that says nothing is counted as unparsed`(task: MedicalTask, answer: String) throws {
        let definition = TaskRegistry.definition(of: task)
        let sample = Samples.sample(task)
        #expect(definition.parse(answer, for: sample) == .unparsable)
        let record = try TaskRegistry.record(prediction: answer, for: sample, baseline: nil)
        #expect(!record.score.isParsed)
        let table = try EvaluationTable(records: [record])
        #expect(table.rows.first?.unparsed == 1)
    }

    @Test(arguments: MedicalTask.allCases)
    func `a wrong answer scores less than the perfect one`(task: MedicalTask) throws {
        let sample = Samples.sample(task)
        let wrong = task == .referringExpressionComprehension ? "{<70><80><90><95>}" : "Spleen"
        let score = try TaskRegistry.definition(of: task).score(prediction: wrong, for: sample)
        #expect(score.primaryValue == 0)
    }

    @Test(arguments: MedicalTask.allCases)
    func `the instruction starts with the tag and depends on the seed alone`(task: MedicalTask) throws {
        let definition = TaskRegistry.definition(of: task)
        let sample = Samples.sample(task)
        let first = try definition.instruction(for: sample, templateSeed: 7)
        #expect(first == (try definition.instruction(for: sample, templateSeed: 7)))
        #expect(first.hasPrefix(task.promptTag + " "))
        let drawn = Set(try (0..<200).map { try definition.instruction(for: sample, templateSeed: $0) })
        #expect(
            drawn.count == definition.templates.pool(of: sample.dataset).count,
            "every template of the pool is drawn"
        )
    }

    @Test(arguments: MedicalTask.allCases)
    func `a sample of another task is refused`(task: MedicalTask) throws {
        let other: MedicalTask = task == .questionAnswering ? .imageClassification : .questionAnswering
        #expect(throws: TaskError.wrongTask(expected: task, got: other)) {
            _ = try TaskRegistry.definition(of: task).instruction(for: Samples.sample(other), templateSeed: 0)
        }
    }

    @Test(arguments: MedicalTask.allCases)
    func `a sample without its reference is refused by name of the field`(task: MedicalTask) {
        var sample = Samples.sample(task)
        sample.answer = ""
        sample.box = nil
        let field = task == .referringExpressionComprehension ? "box" : "answer"
        let expected = TaskError.missingField(field: field, task: task, dataset: "phantoms", sampleID: "1")
        #expect(throws: expected) {
            _ = try TaskRegistry.definition(of: task).score(prediction: "a", for: sample)
        }
        #expect(throws: expected) { _ = try TaskRegistry.definition(of: task).target(for: sample) }
    }
}
