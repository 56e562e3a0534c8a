import Foundation
import Testing
import UniMedImaging
import UniMedImagingTesting

@Suite("DICOM series")
struct DICOMSeriesTests {
    private struct Made {
        var name: String
        var position: [Double]
        var value: UInt16
        var number = 1
    }

    private func scan(
        _ slices: [Made],
        orientation: [Double] = [1, 0, 0, 0, 1, 0],
        and others: [String: Data] = [:]
    ) throws -> (DICOMSeries.Scan, [ImageVolume]) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "series-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder.appending(path: "a/b"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for slice in slices {
            var builder = DICOMBuilder(
                rows: 2,
                columns: 3,
                frames: [[UInt16](repeating: slice.value, count: 6)],
                bitsStored: 12
            )
            builder.setPlane(position: slice.position, orientation: orientation, spacing: [0.5, 0.25])
            builder.set(0x0020_0013, "IS", .text("\(slice.number)"))
            try builder.data().write(to: folder.appending(path: slice.name))
        }
        for (name, data) in others { try data.write(to: folder.appending(path: name)) }
        let scan = try DICOMSeries.scan(folder)
        return (scan, try scan.series.map { try $0.volume() })
    }

    @Test func `slices are in the order of their places, whatever they are called`() throws {
        let (scan, volumes) = try scan(
            [
                Made(name: "1", position: [10, 20, 9], value: 3), Made(name: "a/2", position: [10, 20, 3], value: 1),
                Made(name: "a/b/3", position: [10, 20, 6], value: 2),
            ],
            and: ["note.txt": Data("x".utf8), "broken.dcm": Data(repeating: 0, count: 128) + Data("DICMxxxx".utf8)]
        )
        #expect(scan.series.count == 1 && scan.otherFileCount == 1 && scan.rejected.count == 1)
        let volume = try #require(volumes.first)
        #expect(stride(from: 0, to: 18, by: 6).map { volume.values[$0] } == [1, 2, 3])
        #expect(scan.series[0].findings.isEmpty)
        // Left and back become right and front; columns are 0.25 apart, rows 0.5, slices 3.
        #expect(volume.affine == [[-0.25, 0, 0, -10], [0, -0.5, 0, -20], [0, 0, 3, 3]])
        #expect(volume.directions == [.left, .posterior, .superior])
    }

    @Test func `duplicates, gaps, unequal distances and a tilted gantry are told`() throws {
        var slices = [0.0, 2, 4, 10, 12].enumerated().map { index, z in
            Made(name: "\(index)", position: [0, 0, z], value: UInt16(index), number: index)
        }
        slices.append(Made(name: "again", position: [0, 0, 4], value: 99, number: 50))
        let (first, volumes) = try scan(slices)
        #expect(
            first.series[0].findings == [
                .duplicates(count: 1), .gap(afterSlice: 2, missing: 2), .unequalSpacing(smallest: 2, largest: 6),
            ]
        )
        #expect(volumes[0].slices == 5 && !volumes[0].values.contains(99))

        let tilted = (0..<3).map { Made(name: "\($0)", position: [0, Double($0), 4 * Double($0)], value: 1) }
        let (second, sheared) = try scan(tilted)
        guard case .tilt(let degrees) = second.series[0].findings.first else {
            Issue.record("the tilt is not told")
            return
        }
        #expect(abs(degrees - atan(0.25) * 180 / .pi) < 1e-6)
        #expect(sheared[0].affine[1][2] == -1 && sheared[0].affine[2][2] == 4)
    }

    @Test func `sagittal slices keep their directions`() throws {
        // Columns to the back, rows to the feet.
        let slices = [5.0, 1, 3].map { Made(name: "\($0)", position: [$0, 0, 0], value: UInt16($0)) }
        let (scan, volumes) = try scan(slices, orientation: [0, 1, 0, 0, 0, -1])
        // The normal of columns and rows points to the right: from 5 to 1 on the left.
        #expect(stride(from: 0, to: 18, by: 6).map { volumes[0].values[$0] } == [5, 3, 1])
        #expect(volumes[0].directions == [.posterior, .inferior, .right])
        #expect(scan.series[0].slices.map(\.technical.plane) == ["sagittal", "sagittal", "sagittal"])
    }

    @Test func `frames with places of their own become a volume`() throws {
        var builder = DICOMBuilder(rows: 1, columns: 2, frames: [[1, 1], [2, 2], [3, 3]])
        func group(_ z: Double) -> [DICOMBuilder.Element] {
            let position = DICOMBuilder.Element(0x0020_0032, "DS", .text(DICOMBuilder.decimals([0, 0, z])))
            return [DICOMBuilder.Element(0x0020_9113, "SQ", .items([[position]]))]
        }
        let orientation = DICOMBuilder.Element(0x0020_0037, "DS", .text("1\\0\\0\\0\\1\\0"))
        let measures = DICOMBuilder.Element(0x0028_0030, "DS", .text("2\\2"))
        builder.set(
            0x5200_9229,
            "SQ",
            .items([
                [
                    DICOMBuilder.Element(0x0020_9116, "SQ", .items([[orientation]])),
                    DICOMBuilder.Element(0x0028_9110, "SQ", .items([[measures]])),
                ]
            ])
        )
        builder.set(0x5200_9230, "SQ", .items([group(8), group(0), group(4)]))
        let volume = try DICOMFile(data: builder.data(), name: "enhanced").volume()
        #expect(volume.values == [2, 2, 3, 3, 1, 1])
        #expect(volume.affine == [[-2, 0, 0, 0], [0, -2, 0, 0], [0, 0, 4, 0]])
    }
}
