//! The image classifiers of torchvision 0.20.1: parameter counts (`num_params`) and multiply-adds (`_ops`) of its weight
//! metadata (BSD-3-Clause), 85 sets of weights, and
//! MobileNet v2.

use plimsoll_sizing::preset::torchvision;

/// Name, image size, parameters, printed billions of multiply-adds.
const PUBLISHED: &[(&str, u32, u64, f64)] = &[
    ("AlexNet", 224, 61_100_840, 0.714),
    ("ConvNeXt_Tiny", 224, 28_589_128, 4.456),
    ("ConvNeXt_Small", 224, 50_223_688, 8.684),
    ("ConvNeXt_Base", 224, 88_591_464, 15.355),
    ("ConvNeXt_Large", 224, 197_767_336, 34.361),
    ("DenseNet121", 224, 7_978_856, 2.834),
    ("DenseNet161", 224, 28_681_000, 7.728),
    ("DenseNet169", 224, 14_149_480, 3.36),
    ("DenseNet201", 224, 20_013_928, 4.291),
    ("EfficientNet_B0", 224, 5_288_548, 0.386),
    ("EfficientNet_B1", 240, 7_794_184, 0.687),
    ("EfficientNet_B2", 288, 9_109_994, 1.088),
    ("EfficientNet_B3", 300, 12_233_232, 1.827),
    ("EfficientNet_B4", 380, 19_341_616, 4.394),
    ("EfficientNet_B5", 456, 30_389_784, 10.266),
    ("EfficientNet_B6", 528, 43_040_704, 19.068),
    ("EfficientNet_B7", 600, 66_347_960, 37.746),
    ("EfficientNet_V2_S", 384, 21_458_488, 8.366),
    ("EfficientNet_V2_M", 480, 54_139_356, 24.582),
    ("EfficientNet_V2_L", 480, 118_515_272, 56.08),
    ("GoogLeNet", 224, 6_624_904, 1.498),
    ("Inception_V3", 299, 27_161_264, 5.713),
    ("MaxVit_T", 224, 30_919_624, 5.558),
    ("MNASNet0_5", 224, 2_218_512, 0.104),
    ("MNASNet0_75", 224, 3_170_208, 0.215),
    ("MNASNet1_0", 224, 4_383_312, 0.314),
    ("MNASNet1_3", 224, 6_282_256, 0.526),
    ("MobileNet_V2", 224, 3_504_872, 0.301),
    ("MobileNet_V3_Large", 224, 5_483_032, 0.217),
    ("MobileNet_V3_Small", 224, 2_542_856, 0.057),
    ("RegNet_Y_400MF", 224, 4_344_144, 0.402),
    ("RegNet_Y_800MF", 224, 6_432_512, 0.834),
    ("RegNet_Y_1_6GF", 224, 11_202_430, 1.612),
    ("RegNet_Y_3_2GF", 224, 19_436_338, 3.176),
    ("RegNet_Y_8GF", 224, 39_381_472, 8.473),
    ("RegNet_Y_16GF", 224, 83_590_140, 15.912),
    ("RegNet_Y_16GF", 384, 83_590_140, 46.735),
    ("RegNet_Y_32GF", 224, 145_046_770, 32.28),
    ("RegNet_Y_32GF", 384, 145_046_770, 94.826),
    ("RegNet_Y_128GF", 384, 644_812_894, 374.57),
    ("RegNet_Y_128GF", 224, 644_812_894, 127.518),
    ("RegNet_X_400MF", 224, 5_495_976, 0.414),
    ("RegNet_X_800MF", 224, 7_259_656, 0.8),
    ("RegNet_X_1_6GF", 224, 9_190_136, 1.603),
    ("RegNet_X_3_2GF", 224, 15_296_552, 3.177),
    ("RegNet_X_8GF", 224, 39_572_648, 7.995),
    ("RegNet_X_16GF", 224, 54_278_536, 15.941),
    ("RegNet_X_32GF", 224, 107_811_560, 31.736),
    ("ResNet18", 224, 11_689_512, 1.814),
    ("ResNet34", 224, 21_797_672, 3.664),
    ("ResNet50", 224, 25_557_032, 4.089),
    ("ResNet101", 224, 44_549_160, 7.801),
    ("ResNet152", 224, 60_192_808, 11.514),
    ("ResNeXt50_32X4D", 224, 25_028_904, 4.23),
    ("ResNeXt101_32X8D", 224, 88_791_336, 16.414),
    ("ResNeXt101_64X4D", 224, 83_455_272, 15.46),
    ("Wide_ResNet50_2", 224, 68_883_240, 11.398),
    ("Wide_ResNet101_2", 224, 126_886_696, 22.753),
    ("ShuffleNet_V2_X0_5", 224, 1_366_792, 0.04),
    ("ShuffleNet_V2_X1_0", 224, 2_278_604, 0.145),
    ("ShuffleNet_V2_X1_5", 224, 3_503_624, 0.296),
    ("ShuffleNet_V2_X2_0", 224, 7_393_996, 0.583),
    ("SqueezeNet1_0", 224, 1_248_424, 0.819),
    ("SqueezeNet1_1", 224, 1_235_496, 0.349),
    ("Swin_T", 224, 28_288_354, 4.491),
    ("Swin_S", 224, 49_606_258, 8.741),
    ("Swin_B", 224, 87_768_224, 15.431),
    ("Swin_V2_T", 256, 28_351_570, 5.94),
    ("Swin_V2_S", 256, 49_737_442, 11.546),
    ("Swin_V2_B", 256, 87_930_848, 20.325),
    ("VGG11", 224, 132_863_336, 7.609),
    ("VGG11_BN", 224, 132_868_840, 7.609),
    ("VGG13", 224, 133_047_848, 11.308),
    ("VGG13_BN", 224, 133_053_736, 11.308),
    ("VGG16", 224, 138_357_544, 15.47),
    ("VGG16_BN", 224, 138_365_992, 15.47),
    ("VGG19", 224, 143_667_240, 19.632),
    ("VGG19_BN", 224, 143_678_248, 19.632),
    ("ViT_B_16", 224, 86_567_656, 17.564),
    ("ViT_B_16", 384, 86_859_496, 55.484),
    ("ViT_B_32", 224, 88_224_232, 4.409),
    ("ViT_L_16", 224, 304_326_632, 61.555),
    ("ViT_L_16", 512, 305_174_504, 361.986),
    ("ViT_L_32", 224, 306_535_400, 15.378),
    ("ViT_H_14", 518, 633_470_440, 1016.717),
    ("ViT_H_14", 224, 632_045_800, 167.295),
];

#[test]
fn every_classifier_of_torchvision_has_its_published_parameters() {
    let mut wrong = Vec::new();
    for &(name, input, parameters, _) in PUBLISHED {
        let counted = torchvision(name, input).map(|network| network.try_profile().map(|p| p.parameters()));
        if counted != Some(Ok(parameters)) {
            wrong.push(format!("{name}: {counted:?}, published {parameters}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_classifier_of_torchvision_has_its_published_multiply_adds() {
    let mut wrong = Vec::new();
    for &(name, input, _, billions) in PUBLISHED {
        let network = torchvision(name, input).expect(name);
        let counted = network.try_profile().expect(name).forward_flops() / 2e9;
        // Small figures are rounded to thousandths.
        if (counted - billions).abs() > 0.01 * billions + 0.0006 {
            wrong.push(format!("{name} at {input}: {counted:.4}, published {billions}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
