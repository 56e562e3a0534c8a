import Foundation
import Testing
import UniMedData

@Suite("Atomic file")
struct AtomicFileTests {
    @Test func `a file is written with all pieces in order, large and small`() throws {
        let folder = try TemporaryFolder()
        var expected = Data()
        try AtomicFile.write(to: folder.file("a.bin")) { writer in
            for size in [0, 1, 65_535, 65_536, 65_537, 3, 200_000] {
                let piece = [UInt8](repeating: UInt8(size % 251), count: size)
                expected.append(contentsOf: piece)
                try writer.write(piece)
            }
            try writer.write("end")
            expected.append(contentsOf: Array("end".utf8))
            #expect(writer.count == expected.count)
        }
        #expect(try Data(contentsOf: folder.file("a.bin")) == expected)
        #expect(folder.names == ["a.bin"])
    }

    @Test func `an error in the middle leaves the old file and nothing else`() throws {
        struct Stop: Error {}
        let folder = try TemporaryFolder()
        try AtomicFile.write(Data("old".utf8), to: folder.file("a.txt"))
        #expect(throws: Stop.self) {
            try AtomicFile.write(to: folder.file("a.txt")) { writer in
                try writer.write([UInt8](repeating: 1, count: 100_000))
                throw Stop()
            }
        }
        #expect(try String(contentsOf: folder.file("a.txt"), encoding: .utf8) == "old")
        #expect(folder.names == ["a.txt"])
    }

    @Test func `a missing folder is named with the system's reason`() throws {
        let folder = try TemporaryFolder()
        let url = folder.file("nowhere/a.txt")
        let error = try #require(dataError { try AtomicFile.write(Data("x".utf8), to: url) })
        #expect(error.kind == .fileSystem)
        #expect(error.errorNumber == ENOENT)
        #expect(error.description == "\(url.path): cannot be written: No such file or directory")
    }

    @Test func `a folder in the file's place is an error and stays`() throws {
        let folder = try TemporaryFolder()
        let url = folder.file("taken")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        let error = try #require(dataError { try AtomicFile.write(Data("x".utf8), to: url) })
        #expect(error.kind == .fileSystem)
        #expect(folder.names == ["taken"])
    }
}
