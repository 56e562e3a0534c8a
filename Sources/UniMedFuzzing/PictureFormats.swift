import Foundation
import UniMedImaging

extension FuzzFormat {
    /// PNG files: the whole file, or what a chunk holds with a sound checksum.
    static let png = picture("png", PictureSeeds.png) { file, others, generator in
        guard Bool.random(using: &generator), var chunks = PNGChunk.chunks(of: file), !chunks.isEmpty else {
            return Mutation.damaged(file, others: others, using: &generator)
        }
        let index = Int.random(in: 0..<chunks.count, using: &generator)
        let parts = others.compactMap { PNGChunk.chunks(of: $0)?.randomElement(using: &generator)?.content }
        chunks[index].content = Mutation.damaged(chunks[index].content, others: parts, using: &generator)
        return PNGChunk.file(of: chunks)
    }

    /// JPEG files.
    static let jpeg = picture("jpeg", PictureSeeds.jpeg) { Mutation.damaged($0, others: $1, using: &$2) }

    /// TIFF files.
    static let tiff = picture("tiff", PictureSeeds.tiff) { Mutation.damaged($0, others: $1, using: &$2) }

    private static func picture(
        _ name: String,
        _ seeds: [Data],
        damage: @escaping @Sendable (Data, [Data], inout SplitMix64) -> Data
    ) -> FuzzFormat {
        FuzzFormat(
            name: name,
            corpus: { seeds },
            damage: damage,
            read: { file, _ in
                do throws(ImagingError) {
                    // The size alone is read of files whose pixels may be damaged.
                    let size = try ImageFile.size(ofData: file, name: name)
                    let picture = try ImageDecoder.decode(data: file, name: name)
                    guard picture.pixels.count == picture.width * picture.height * 3,
                        picture.width == size.width, picture.height == size.height
                    else { throw ImagingError(.malformed, file: name, detail: "the header's size is another one") }
                    return .accepted
                } catch {
                    return .refused
                }
            }
        )
    }
}

/// A part of a PNG file.
private struct PNGChunk {
    var type: Data
    var content: Data

    private static let signature = Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])

    /// `nil` when the bytes are something else.
    static func chunks(of file: Data) -> [PNGChunk]? {
        let file = Data(file)
        guard file.starts(with: signature) else { return nil }
        var chunks: [PNGChunk] = []
        var position = signature.count
        while position + 12 <= file.count {
            let length = file[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= file.count - position - 12 else { return nil }
            let type = Data(file[position + 4..<position + 8])
            chunks.append(PNGChunk(type: type, content: Data(file[position + 8..<position + 8 + length])))
            position += 12 + length
        }
        return chunks
    }

    static func file(of chunks: [PNGChunk]) -> Data {
        chunks.reduce(into: signature) { file, chunk in
            file += Data(big(UInt32(chunk.content.count))) + chunk.type + chunk.content
            file += Data(big(ZipBuilder.checksum(chunk.type + chunk.content)))
        }
    }

    private static func big(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(number >> UInt32(24 - 8 * $0) & 255) } }
}
