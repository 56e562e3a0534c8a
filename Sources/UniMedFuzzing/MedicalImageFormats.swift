import Foundation
import UniMedImaging
import UniMedImagingTesting

extension FuzzFormat {
    /// DICOM files in the transfer syntaxes that need no encoder: the whole file, its elements, or its pixel data.
    static let dicom = FuzzFormat(
        name: "dicom",
        corpus: {
            DICOMBuilder.Syntax.allCases.flatMap { syntax in
                [false, true].map { isColor in sampleFile(syntax, isColor: isColor) }
            }
        },
        damage: { file, others, generator in
            let start = Bool.random(using: &generator) ? 132 : 0
            guard file.count > start else { return Mutation.damaged(file, others: others, using: &generator) }
            let bytes = [UInt8](file)
            // What stands in front of the data set is read by few lines: most damage belongs behind it.
            return Data(bytes[..<start])
                + Mutation.damaged(Data(bytes[start...]), others: others, using: &generator)
        },
        read: { file, _ in
            try imagingOutcome {
                let dicom = try DICOMFile(data: file, name: "fuzz.dcm")
                let layout = try dicom.pixelLayout()
                guard layout.rows * layout.columns <= 1 << 20 else { return }
                for frame in 0..<min(layout.frames, 3) {
                    _ = try dicom.frame(frame)
                    _ = try dicom.picture(frame: frame)
                }
                _ = dicom.pixelRisks
                if layout.frames < 16, layout.samples == 1 { _ = try? dicom.volume() }
                _ = try ImageFile.size(ofData: file, name: "fuzz.dcm")
            }
        }
    )

    /// NIfTI-1 and NIfTI-2, in both byte orders, compressed and not.
    static let nifti = FuzzFormat(
        name: "nifti",
        corpus: {
            [1, 2].flatMap { version in
                [false, true].flatMap { isBigEndian -> [Data] in
                    var file = NIfTIBuilder(shape: [4, 3, 2, 2], voxels: (0..<48).map { Int16($0 - 20) })
                    file.version = version
                    file.isBigEndian = isBigEndian
                    file.scaling = (2, -1)
                    file.qform = (1, [0, 0, 0.5], [1, 2, 3])
                    return [file.data(), file.compressedData()]
                }
            }
        },
        damage: { file, others, generator in Mutation.damaged(file, others: others, using: &generator) },
        read: { file, _ in
            try imagingOutcome {
                let nifti = try NIfTIFile(data: file, name: "fuzz.nii")
                for index in 0..<min(nifti.volumeCount, 3) {
                    let volume = try nifti.volume(at: index)
                    guard volume.values.count <= 1 << 20 else { continue }
                    _ = volume.canonical()
                }
                _ = try ImageDecoder.decode(data: file, name: "fuzz.nii")
            }
        }
    )

    /// NRRD with raw and ASCII numbers.
    static let nrrd = FuzzFormat(
        name: "nrrd",
        corpus: {
            let space =
                "space: left-posterior-superior\nspace directions: (2,0,0) (0,2,0) (0,0,3)\nspace origin: (1,2,3)\n"
            let raw =
                "NRRD0004\n# made\ntype: short\ndimension: 3\nsizes: 3 2 2\nendian: little\nencoding: raw\n\(space)\n"
            let ascii = "NRRD0005\ntype: float\ndimension: 4\nsizes: 2 3 2 2\nkinds: vector domain domain domain\n"
            let numbers = (0..<24).map { "\(Double($0) / 2)" }.joined(separator: " ")
            return [
                Data(raw.utf8) + Data((0..<12).flatMap { [UInt8($0), 0] }),
                Data("\(ascii)encoding: ascii\n\n\(numbers)\n".utf8),
            ]
        },
        damage: { file, others, generator in Mutation.damaged(file, others: others, using: &generator) },
        read: { file, _ in
            try imagingOutcome {
                let nrrd = try NRRDFile(data: file, name: "fuzz.nrrd")
                for index in 0..<min(nrrd.volumeCount, 3) { _ = try nrrd.volume(at: index).canonical() }
                _ = try ImageDecoder.decode(data: file, name: "fuzz.nrrd")
            }
        }
    )

    private static func sampleFile(_ syntax: DICOMBuilder.Syntax, isColor: Bool) -> Data {
        let samples = isColor ? 3 : 1
        let frames = (0..<2).map { frame in (0..<4 * 6 * samples).map { UInt16($0 * 5 + frame) } }
        var file = DICOMBuilder(
            rows: 4,
            columns: 6,
            frames: frames,
            bitsStored: isColor ? 8 : 12,
            samples: samples,
            syntax: syntax
        )
        file.hasOpenSequences = isColor
        file.setPlane(position: [1, 2, 3])
        file.set(0x0028_1050, "DS", .text("40\\50"))
        file.set(0x0028_1051, "DS", .text("400\\350"))
        file.set(0x0028_1052, "DS", .text("-1024"))
        file.set(0x0028_1053, "DS", .text("1"))
        let lookup: [DICOMBuilder.Element] = [
            DICOMBuilder.Element(0x0028_3002, "US", .words([4, 0, 8])),
            DICOMBuilder.Element(0x0028_3006, "US", .words([0, 50, 100, 255])),
        ]
        file.set(0x0028_3010, "SQ", .items([lookup]))
        return file.data()
    }

    private static func imagingOutcome(_ body: () throws -> Void) throws -> Outcome {
        do {
            try body()
            return .accepted
        } catch is ImagingError {
            return .refused
        }
    }
}
