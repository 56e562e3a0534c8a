import Foundation
import Testing
import UniMedTraining

@Suite("TensorBoard writer")
struct TensorBoardWriterTests {
    @Test func `checksums are those of the standard's examples`() {
        // RFC 3720, appendix B.4, with the mask of TensorFlow's records undone.
        func unmasked(_ bytes: [UInt8]) -> UInt32 {
            let rotated = TensorBoardWriter.maskedChecksum(bytes) &- 0xA282_EAD8
            return rotated >> 17 | rotated << 15
        }
        #expect(unmasked([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(unmasked([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(unmasked(Array(0..<32)) == 0x46DD_794E)
        #expect(unmasked(Array("123456789".utf8)) == 0xE306_9283)
    }

    @Test func `a record is length, checksum, event, checksum`() {
        let event: [UInt8] = [1, 2, 3]
        let record = TensorBoardWriter.record(event)
        #expect(Array(record[0..<8]) == [3, 0, 0, 0, 0, 0, 0, 0])
        #expect(Array(record[12..<15]) == event)
        func word(_ start: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(record[start + $1]) << UInt32(8 * $1) }
        }
        #expect(word(8) == TensorBoardWriter.maskedChecksum(Array(record[0..<8])))
        #expect(word(15) == TensorBoardWriter.maskedChecksum(event))
        #expect(record.count == 19)
    }

    @Test func `an event has wall time, step and tagged values`() {
        let event = TensorBoardWriter.event(wallTime: 2, step: 300, scalars: [("loss", 0.5)])
        let expected: [UInt8] = [
            0x09, 0, 0, 0, 0, 0, 0, 0, 0x40,  // wall_time: 2.0
            0x10, 0xAC, 0x02,  // step: 300
            0x2A, 13, 0x0A, 11,  // summary, value
            0x0A, 4, 0x6C, 0x6F, 0x73, 0x73,  // tag: loss
            0x15, 0, 0, 0, 0x3F,  // simple_value: 0.5
        ]
        #expect(event == expected)
    }

    @Test func `a file is cut back to a position and continued`() throws {
        let folder = try TemporaryFolder()
        let file = folder.file(TensorBoardWriter.fileName)
        var position = 0
        do {
            let writer = try TensorBoardWriter(folder: folder.url)
            try writer.write([("loss", 1)], step: 1, wallTime: 1)
            position = writer.position
            try writer.write([("loss", 2)], step: 2, wallTime: 2)
        }
        let first = try Data(contentsOf: file)
        #expect(first.count > position)
        do {
            let writer = try TensorBoardWriter(folder: folder.url, keeping: position)
            try writer.write([("loss", 2)], step: 2, wallTime: 2)
        }
        #expect(try Data(contentsOf: file) == first)
    }
}
