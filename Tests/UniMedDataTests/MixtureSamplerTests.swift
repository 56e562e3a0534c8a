import Foundation
import Testing
import UniMedData

@Suite("Mixture sampler")
struct MixtureSamplerTests {
    private let tasks: [MedicalTask] =
        Array(repeating: .visualQuestionAnswering, count: 60)
        + Array(repeating: .imageClassification, count: 30)
        + Array(repeating: .questionAnswering, count: 10)

    private func frequencies(_ sampler: MixtureSampler, of count: Int) -> [MedicalTask: Double] {
        var sampler = sampler
        var counts: [MedicalTask: Double] = [:]
        for _ in 0..<count { counts[sampler.next().task, default: 0] += 1 }
        return counts.mapValues { $0 / Double(count) }
    }

    @Test func `tasks are drawn in proportion to their data`() throws {
        let sampler = try MixtureSampler(tasks: tasks, seed: 1)
        #expect(sampler.rates[.visualQuestionAnswering] == 0.6)
        #expect(sampler.rates[.reportGeneration] == nil)
        let found = frequencies(sampler, of: 50_000)
        // Five standard deviations of a frequency of 0.6 in 50000 draws are 0.011.
        #expect(abs((found[.visualQuestionAnswering] ?? 0) - 0.6) < 0.011)
        #expect(abs((found[.imageClassification] ?? 0) - 0.3) < 0.011)
        #expect(abs((found[.questionAnswering] ?? 0) - 0.1) < 0.011)
    }

    @Test func `explicit rates and a temperature change the mixture`() throws {
        let explicit = try MixtureSampler(
            tasks: tasks,
            rates: .explicit([.visualQuestionAnswering: 0, .imageClassification: 3, .questionAnswering: 1]),
            seed: 1
        )
        let found = frequencies(explicit, of: 20_000)
        #expect(found[.visualQuestionAnswering] == nil)
        #expect(abs((found[.imageClassification] ?? 0) - 0.75) < 0.02)
        let warm = try MixtureSampler(tasks: tasks, rates: .temperature(2), seed: 1)
        let total = 60.0.squareRoot() + 30.0.squareRoot() + 10.0.squareRoot()
        #expect(abs((warm.rates[.questionAnswering] ?? 0) - 10.0.squareRoot() / total) < 1e-12)
    }

    @Test func `every sample of a task comes once an epoch, in another order each time`() throws {
        var sampler = try MixtureSampler(tasks: tasks, seed: 4)
        var drawn: [MedicalTask: [Int]] = [:]
        while (drawn[.questionAnswering]?.count ?? 0) < 30 {
            let draw = sampler.next()
            #expect(tasks[draw.sampleIndex] == draw.task)
            drawn[draw.task, default: []].append(draw.sampleIndex)
        }
        let order = try #require(drawn[.questionAnswering])
        let epochs = [Array(order[0..<10]), Array(order[10..<20]), Array(order[20..<30])]
        for epoch in epochs { #expect(epoch.sorted() == Array(90..<100)) }
        #expect(Set(epochs).count == 3)
    }

    @Test func `an epoch's order is the generator's permutation, the same in every version`() throws {
        var sampler = try MixtureSampler(tasks: tasks, seed: 4)
        var drawn: [Int] = []
        while drawn.count < 30 {
            let draw = sampler.next()
            if draw.task == .imageClassification { drawn.append(draw.sampleIndex) }
        }
        var generator = SeededGenerator.derived(from: 4, label: "cls epoch 0")
        #expect(drawn == generator.permutation(of: 30).map { $0 + 60 })
    }

    @Test func `every draw has its own seed and sequences depend on the seed`() throws {
        var first = try MixtureSampler(tasks: tasks, seed: 1)
        var same = try MixtureSampler(tasks: tasks, seed: 1)
        var other = try MixtureSampler(tasks: tasks, seed: 2)
        let draws = (0..<500).map { _ in first.next() }
        #expect(draws == (0..<500).map { _ in same.next() })
        #expect(draws != (0..<500).map { _ in other.next() })
        #expect(Set(draws.map(\.seed)).count == 500)
    }

    @Test(arguments: [0, 1, 9, 10, 11, 99, 100, 101, 1234])
    func `a sampler restored from its encoded state continues exactly`(count: Int) throws {
        var sampler = try MixtureSampler(tasks: tasks, rates: .temperature(3), seed: 8)
        for _ in 0..<count { _ = sampler.next() }
        let data = try JSONEncoder().encode(sampler.state)
        let state = try JSONDecoder().decode(MixtureSampler.State.self, from: data)
        var resumed = try MixtureSampler(tasks: tasks, rates: .temperature(3), state: state)
        #expect(resumed.drawCount == count)
        #expect((0..<500).map { _ in resumed.next() } == (0..<500).map { _ in sampler.next() })
        #expect(resumed.state == sampler.state)
    }

    @Test func `a batch of a single task holds one task, batches vary`() throws {
        var sampler = try MixtureSampler(tasks: tasks, seed: 3)
        let batches = (0..<200).map { _ in sampler.nextBatch(of: 4, composition: .singleTask) }
        #expect(batches.allSatisfy { Set($0.map(\.task)).count == 1 && $0.count == 4 })
        #expect(Set(batches.map { $0[0].task }).count == 3)
        let mixed = (0..<50).map { _ in sampler.nextBatch(of: 4, composition: .mixed) }
        #expect(mixed.contains { Set($0.map(\.task)).count > 1 })
    }

    @Test func `a state kept for other data is refused`() throws {
        let state = try MixtureSampler(tasks: tasks, seed: 1).state
        let error = try #require(
            dataError { _ = try MixtureSampler(tasks: Array(tasks.dropLast()), state: state) }
        )
        #expect(error.kind == .mismatch)
        #expect(error.description.contains("expected cls 30, qa 9, vqa 60 samples, found cls 30, qa 10, vqa 60"))
        var broken = state
        broken.cursors["cls"]?.position = 31
        #expect(dataError { _ = try MixtureSampler(tasks: tasks, state: broken) }?.field == "cursors.cls")
        broken.cursors["cls"] = nil
        #expect(dataError { _ = try MixtureSampler(tasks: tasks, state: broken) }?.kind == .mismatch)
    }

    @Test func `impossible rates are refused by name`() throws {
        func fault(_ rates: TaskRates) -> DataError? {
            dataError { _ = try MixtureSampler(tasks: tasks, rates: rates, seed: 1) }
        }
        #expect(fault(.explicit([.questionAnswering: 1]))?.field == "rates.vqa")
        let full: [MedicalTask: Double] = [
            .questionAnswering: 1, .visualQuestionAnswering: 1, .imageClassification: 1,
        ]
        #expect(fault(.explicit(full.merging([.reportGeneration: 1]) { $1 }))?.field == "rates.rg")
        #expect(fault(.explicit(full.merging([.imageClassification: -1]) { $1 }))?.field == "rates.cls")
        #expect(fault(.explicit(full.merging([.imageClassification: .nan]) { $1 }))?.field == "rates.cls")
        #expect(fault(.explicit(full.mapValues { _ in 0 }))?.kind == .invalid)
        #expect(fault(.temperature(0))?.field == "temperature")
        #expect(dataError { _ = try MixtureSampler(tasks: [], seed: 1) }?.kind == .invalid)
    }
}
