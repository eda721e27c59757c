"""Numbers and signs in Chinese text, as they are read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.lite.text.chinese_form import amount, chinese_form
from model.lite.text.speakable import speakable, unsayable


@pytest.mark.parametrize(
    ("digits", "read"),
    [
        ("0", "零"),
        ("10", "十"),
        ("12", "十二"),
        ("20", "二十"),
        ("105", "一百零五"),
        ("110", "一百一十"),
        ("1005", "一千零五"),
        ("1050", "一千零五十"),
        ("2000", "两千"),
        ("10500", "一万零五百"),
        ("22000", "两万两千"),
        ("120000", "十二万"),
        ("10010000", "一千零一万"),
        ("100000001", "一亿零一"),
        ("200000000", "两亿"),
        ("1234567", "一百二十三万四千五百六十七"),
        ("1" * 17, "一" * 17),
    ],
)
def test_an_amount(digits: str, read: str) -> None:
    assert amount(digits) == read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("我有2个苹果和12个梨。", "我有两个苹果和十二个梨."),
        ("第2次", "第二次"),
        ("2月2号住2楼", "二月二号住二楼"),
        ("1998年", "一九九八年"),
        ("会议在2026-05-01下午2:30开始", "会议在二零二六年五月一日下午两点三十分开始"),
        ("8:05出发，10:00到", "八点零五分出发, 十点到"),
        ("比分3:1", "比分三比一"),
        ("增长了12.5%", "增长了百分之十二点五"),
        ("气温-5℃到3℃", "气温零下五摄氏度到三摄氏度"),
        ("1/3的人", "三分之一的人"),
        ("3-5天", "三到五天"),
        ("5 - 3 = 2", "五减三等于二"),
        ("电话是13812345678", "电话是幺三八幺二三四五六七八"),
        ("拨打010-12345678", "拨打零幺零, 幺二三四五六七八"),
        ("价格是¥199.9，约$28", "价格是一百九十九点九元, 约二十八美元"),
        ("版本1.2.3", "版本一点二点三"),
        ("时速120km/h，重2kg", "时速一百二十公里每小时, 重两公斤"),
        ("1,234,567人", "一百二十三万四千五百六十七人"),
        ("２０个，１００％", "二十个, 百分之一百"),
        ("iPhone 15和MP3", "iPhone 十五和MP三"),
        ("他说：“好的”（真的）。", "他说: “好的” (真的)."),
        ("-3", "负三"),
        ("每天2000-2500卡路里", "每天两千到两千五百卡路里"),
        ("价格是¥3000-4000，或$3-4万", "价格是三千到四千元, 或三到四万美元"),
        ("₹1,50,000", "₹十五万"),
        ("加200 g面粉和2L水", "加二百克面粉和两升水"),
        ("60W的灯，房间5 m宽", "六十瓦的灯, 房间五米宽"),
        ("面积100m²，x²", "面积一百平方米, x的平方"),
        ("½杯，2½杯", "二分之一杯, 二又二分之一杯"),
        ("1990-1995年", "一九九零到一九九五年"),
        ("10:30-11:15开会", "十点三十分到十一点十五分开会"),
        ("20-30℃", "二十到三十摄氏度"),
        ("拨打110，打3折", "拨打幺幺零, 打三折"),
        ("电话138 1234 5678", "电话幺三八, 幺二三四, 五六七八"),
        ("24/7服务", "全天候服务"),
        ("￥1,299.00，100元/月", "一千二百九十九元, 一百元每月"),
        ("血压120/80mmHg", "血压一百二十比八十毫米汞柱"),
        ("iOS 17.4.1", "iOS 十七点四点一"),
        ("密码是12345678，订单号20241", "密码是一二三四五六七八, 订单号二零二四一"),
        ("以3-2战胜，平均3-5天", "以三比二战胜, 平均三到五天"),
        ("-5~3℃", "零下五到三摄氏度"),
        ("80后，公元前221年", "八零后, 公元前二二一年"),
        ("3×10⁸ m/s", "三乘十的八次方米每秒"),
        ("25㎡，2千克，2片", "二十五平方米, 两千克, 两片"),
        ("电话0755-8888 6666", "电话零七五五, 八八八八, 六六六六"),
        ("G1234次，RTX4090，A100", "G一二三四次, RTX四零九零, A一百"),
        ("9·11事件，H₂O", "九一一事件, H二O"),
    ],
)
def test_numbers_and_signs_are_written_as_they_are_read(written: str, said: str) -> None:
    assert chinese_form(written) == said


@settings(deadline=None)
@given(st.text())
def test_no_digit_is_left(text: str) -> None:
    assert not set(chinese_form(text)) & set("0123456789")


def test_a_chinese_voice_says_characters_and_an_english_one_does_not() -> None:
    assert speakable("你好，**world**！", "zh") == "你好, world!"
    assert speakable("你好，**world**！") == "world!"
    assert unsayable("你好 привет", "zh") == ["привет"]
    assert unsayable("你好 привет") == ["你好", "привет"]
    assert speakable("こんにちは", "zh") == ""
    assert speakable("In 10 days.", "zh") == "In 10 days."
    assert speakable("10", "zh") == "十"
