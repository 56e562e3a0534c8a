import Foundation
import Testing
import UniMedData

@Suite("Seeded generator")
struct SeededGeneratorTests {
    @Test func `the state 1, 2, 3, 4 gives the published sequence of xoshiro256 star star`() throws {
        let text = #"["0000000000000001-0000000000000002-0000000000000003-0000000000000004"]"#
        var generator = try JSONDecoder().decode([SeededGenerator].self, from: Data(text.utf8))[0]
        let expected: [UInt64] = [
            11520, 0, 1_509_978_240, 1_215_971_899_390_074_240, 1_216_172_134_540_287_360, 607_988_272_756_665_600,
            16_172_922_978_634_559_625, 8_476_171_486_693_032_832, 10_595_114_339_597_558_777,
            2_904_607_092_377_533_576,
        ]
        #expect(expected.map { _ in generator.next() } == expected)
    }

    @Test func `a seed fills the state by SplitMix64`() {
        var generator = SeededGenerator(seed: 0)
        let expected: [UInt64] = [11_091_344_671_253_066_420, 13_793_997_310_169_335_082, 1_900_383_378_846_508_768]
        #expect(expected.map { _ in generator.next() } == expected)
    }

    @Test func `a decoded generator continues the sequence`() throws {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<100 { _ = generator.next() }
        let data = try JSONEncoder().encode(["generator": generator])
        var copy = try #require(try JSONDecoder().decode([String: SeededGenerator].self, from: data)["generator"])
        #expect(copy == generator)
        #expect((0..<1000).map { _ in copy.next() } == (0..<1000).map { _ in generator.next() })
    }

    @Test(arguments: [
        #"["1-2-3-4"]"#, #"["0000000000000000-0000000000000000-0000000000000000-0000000000000000"]"#, #"["x"]"#,
        #"["0000000000000001-0000000000000002-0000000000000003"]"#,
    ])
    func `a damaged state does not decode`(text: String) {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([SeededGenerator].self, from: Data(text.utf8))
        }
    }

    @Test func `derived generators differ by label and by seed, and repeat`() {
        let a = SeededGenerator.derived(from: 1, label: "order")
        #expect(a == SeededGenerator.derived(from: 1, label: "order"))
        #expect(a != SeededGenerator.derived(from: 1, label: "masks"))
        #expect(a != SeededGenerator.derived(from: 2, label: "order"))
    }

    @Test(arguments: [1, 2, 3, 10, 1000]) func `a permutation holds every integer once`(count: Int) {
        var generator = SeededGenerator(seed: 3)
        #expect(generator.permutation(of: count).sorted() == Array(0..<count))
    }

    @Test func `every order of three is equally probable`() {
        var generator = SeededGenerator(seed: 11)
        var counts: [[Int]: Int] = [:]
        for _ in 0..<12_000 { counts[generator.permutation(of: 3), default: 0] += 1 }
        #expect(counts.count == 6)
        // Five standard deviations of a binomial count (12000, 1/6) are 204.
        for (_, count) in counts { #expect(abs(count - 2000) < 204) }
    }

    @Test func `integers below a bound are equally probable and stay below it`() {
        var generator = SeededGenerator(seed: 5)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<70_000 { counts[generator.integer(below: 7)] += 1 }
        // Five standard deviations of a binomial count (70000, 1/7) are 463.
        for count in counts { #expect(abs(count - 10_000) < 463) }
        #expect((0..<100).allSatisfy { _ in (-2...2).contains(generator.integer(in: -2...2)) })
    }

    @Test func `uniform and normal numbers have their moments`() {
        var generator = SeededGenerator(seed: 9)
        let count = 100_000
        let uniform = (0..<count).map { _ in generator.uniform() }
        #expect(uniform.allSatisfy { (0..<1).contains($0) })
        #expect(abs(uniform.reduce(0, +) / Double(count) - 0.5) < 0.005)
        let normal = (0..<count).map { _ in generator.normal(mean: 2, standardDeviation: 3) }
        let mean = normal.reduce(0, +) / Double(count)
        let variance = normal.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
        #expect(abs(mean - 2) < 0.05)
        #expect(abs(variance - 9) < 0.25)
    }

    @Test func `elements are drawn from collections, and none from an empty one`() {
        var generator = SeededGenerator(seed: 1)
        #expect(generator.element(of: [Int]()) == nil)
        let drawn = Set((0..<100).compactMap { _ in generator.element(of: ["a", "b", "c"]) })
        #expect(drawn == ["a", "b", "c"])
    }
}
