import Foundation
import Testing

@Suite("Memory")
struct MemoryTests {
    @Test func `resident memory does not grow over three thousand training steps`() throws {
        struct Growth: Decodable {
            let steps: Int
            let settledStep: Int
            let growth: Double
        }
        let result = try Program.run(["bench", "--memory", "--threads", "1", "--json"])
        #expect(result.status == 0, "\(result.errors)")
        let growth = try JSONDecoder().decode(Growth.self, from: Data(result.output.utf8))
        #expect(growth.steps == 3000)
        #expect(growth.settledStep == 500)
        #expect(growth.growth < 0.01)
    }
}
