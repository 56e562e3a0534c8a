// swift-tools-version: 6.1
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let mustache = Target.Dependency.product(name: "Mustache", package: "swift-mustache")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

/// A room of the house: a library target in `Sources/<name>`.
func room(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

/// The tests of a room, in `Tests/<name>Tests`.
func tests(
    of name: String,
    _ dependencies: [Target.Dependency] = [],
    exclude: [String] = [],
    resources: [Resource]? = nil
) -> Target {
    .testTarget(
        name: name + "Tests",
        dependencies: [.target(name: name)] + dependencies,
        exclude: exclude,
        resources: resources,
        swiftSettings: strict
    )
}

let package = Package(
    name: "uni-med",
    products: [
        .executable(name: "unimed", targets: ["unimed"]),
        .executable(name: "unimed-fuzz", targets: ["unimed-fuzz"]),
        .library(name: "Torch", targets: ["Torch", "TorchNN", "TorchCheckpoints"]),
        .library(
            name: "UniMed",
            targets: [
                "UniMedData", "UniMedTokenizers", "UniMedMetrics", "UniMedTasks", "UniMedImaging", "UniMedImporters",
                "UniMedModel", "UniMedTraining", "UniMedEvaluation", "UniMedReportMetrics", "UniMedAnalysis",
                "UniMedReports", "UniMedRuns",
            ]
        ),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        // Needs Debian's libsqlite3-dev.
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        // The tensor layer: knows nothing of medicine or language.
        .systemLibrary(name: "CLibTorch", pkgConfig: "unimed-libtorch"),
        .target(name: "CTorch", dependencies: ["CLibTorch"]),
        room("Torch", ["CTorch"]),
        room("TorchNN", ["Torch"]),
        .systemLibrary(name: "CZip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
        // Files that are there completely or not at all; what it knows of both worlds is bytes.
        room("DurableFiles", []),
        room("TorchCheckpoints", ["Torch", "TorchNN", "CZip", "DurableFiles"]),

        // Data, text and pictures: no LibTorch.
        .systemLibrary(name: "CLibCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        room("UniMedData", ["CLibCrypto", "DurableFiles"]),
        .systemLibrary(
            name: "CSentencePieceLibrary",
            pkgConfig: "sentencepiece",
            providers: [.apt(["libsentencepiece-dev"])]
        ),
        .target(name: "CSentencePiece", dependencies: ["CSentencePieceLibrary"]),
        room("UniMedTokenizers", ["CSentencePiece"]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CLibDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
        room("UniMedMetrics", ["UniMedData", "CZip", "CLibDeflate"]),
        room("UniMedTasks", ["UniMedData", "UniMedMetrics"]),
        .systemLibrary(name: "CLibPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(name: "CLibJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg62-turbo-dev"])]),
        .systemLibrary(name: "CLibTIFF", pkgConfig: "libtiff-4", providers: [.apt(["libtiff-dev"])]),
        .target(name: "CImageCodecs", dependencies: ["CLibPNG", "CLibJPEG", "CLibTIFF", "CLibDeflate"]),
        .systemLibrary(name: "CLibOpenJPEG", pkgConfig: "libopenjp2", providers: [.apt(["libopenjp2-7-dev"])]),
        // DCMTK's own pkg-config file asks for libraries that have nothing to do with it: its libraries are named here.
        .target(
            name: "CMedicalImages",
            dependencies: ["CLibOpenJPEG"],
            linkerSettings: [
                .linkedLibrary("dcmjpeg"), .linkedLibrary("dcmjpls"), .linkedLibrary("dcmdata"),
                .linkedLibrary("oflog"), .linkedLibrary("ofstd"), .linkedLibrary("z"),
            ]
        ),
        room("UniMedImaging", ["CImageCodecs", "CMedicalImages"]),
        // Small medical images of our own, for tests and for the program that damages them.
        room("UniMedImagingTesting", []),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        room("UniMedImporters", ["UniMedData", "UniMedImaging", "CZip", "CZlib", "CZstd"]),
        room("UniMedReports", ["UniMedData", "UniMedMetrics", mustache]),
        // Runs and their scores in one SQLite file: knows of both no more than texts and numbers.
        room("UniMedRuns", [grdb]),
        room(
            "UniMedReportMetrics",
            ["Torch", "TorchNN", "TorchCheckpoints", "UniMedTokenizers", "UniMedMetrics", "CZlib"]
        ),

        // The model, and what is done with it.
        room("UniMedModel", ["Torch", "TorchNN", "TorchCheckpoints", "UniMedTokenizers", "UniMedData"]),
        room(
            "UniMedTraining",
            [
                "UniMedModel", "UniMedTasks", "UniMedData", "UniMedTokenizers", "Torch", "TorchNN", "TorchCheckpoints",
                yams,
            ]
        ),
        room(
            "UniMedEvaluation",
            ["UniMedModel", "UniMedTasks", "UniMedData", "UniMedMetrics", "UniMedTokenizers", "Torch", "TorchNN"]
        ),
        room(
            "UniMedAnalysis",
            [
                "UniMedTraining", "UniMedEvaluation", "UniMedModel", "UniMedTasks", "UniMedData", "UniMedMetrics",
                "UniMedTokenizers", "Torch", "TorchNN", "TorchCheckpoints",
            ]
        ),
        room(
            "UniMedTesting",
            ["Torch", "TorchNN", "TorchCheckpoints", "UniMedData", "UniMedTokenizers", "UniMedModel"]
        ),
        // Sound files, and how they are damaged: for tests, and for the program that feeds the readers with them.
        room(
            "UniMedFuzzing",
            [
                "Torch", "TorchCheckpoints", "UniMedTokenizers", "UniMedData", "UniMedImaging", "UniMedImagingTesting",
                "UniMedImporters",
            ]
        ),
        .executableTarget(
            name: "unimed-fuzz",
            dependencies: ["UniMedFuzzing", argumentParser],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "unimed",
            dependencies: [
                "Torch", "TorchNN", "TorchCheckpoints", "UniMedData", "UniMedTokenizers", "UniMedMetrics",
                "UniMedTasks",
                "UniMedImaging", "UniMedImporters", "UniMedModel", "UniMedTraining", "UniMedEvaluation",
                "UniMedReportMetrics", "UniMedAnalysis", "UniMedReports", "UniMedRuns",
                argumentParser,
            ],
            swiftSettings: strict
        ),

        tests(of: "Torch", ["CTorch"]),
        tests(of: "TorchNN", ["Torch"]),
        tests(of: "TorchCheckpoints", ["Torch", "TorchNN", "UniMedTesting", "UniMedFuzzing"]),
        tests(of: "UniMedFuzzing"),
        tests(of: "UniMedData"),
        tests(of: "UniMedTokenizers"),
        tests(of: "UniMedMetrics", ["UniMedData"]),
        tests(of: "UniMedTasks", ["UniMedData", "UniMedMetrics"]),
        tests(of: "UniMedImaging", ["UniMedData", "UniMedImagingTesting"]),
        tests(
            of: "UniMedImporters",
            ["UniMedData", "UniMedImaging", "UniMedImagingTesting"],
            exclude: ["Fixtures"]
        ),
        tests(of: "UniMedReports", ["UniMedData", "UniMedMetrics"]),
        tests(of: "UniMedRuns"),
        tests(
            of: "UniMedReportMetrics",
            ["Torch", "TorchNN", "TorchCheckpoints", "UniMedTokenizers", "UniMedMetrics"],
            exclude: ["Fixtures"]
        ),
        tests(
            of: "UniMedModel",
            ["Torch", "TorchNN", "TorchCheckpoints", "UniMedData", "UniMedTokenizers", "UniMedTesting"],
            exclude: ["Fixtures"]
        ),
        tests(
            of: "UniMedTraining",
            [
                "Torch", "TorchNN", "TorchCheckpoints", "UniMedModel", "UniMedData", "UniMedTokenizers", "UniMedTasks",
                "UniMedTesting",
            ]
        ),
        tests(
            of: "UniMedEvaluation",
            ["Torch", "TorchNN", "UniMedModel", "UniMedData", "UniMedMetrics", "UniMedTokenizers"]
        ),
        tests(
            of: "UniMedAnalysis",
            [
                "Torch", "TorchNN", "TorchCheckpoints", "UniMedModel", "UniMedData", "UniMedTraining",
                "UniMedEvaluation", "UniMedMetrics", "UniMedTokenizers", "UniMedTesting",
            ]
        ),
        .testTarget(name: "EndToEndTests", dependencies: ["UniMedData", "UniMedRuns"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx20
)
