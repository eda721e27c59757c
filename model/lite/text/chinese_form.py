"""Write the numbers and signs of a Chinese text in Chinese characters, as a person reads them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿", "万亿")
_LONGEST = 4 * len(_GROUPS)
"""Digits of the largest number that is read as an amount."""
_MEASURES = (
    "个|位|只|条|张|块|瓶|杯|份|本|辆|台|匹|头|间|家|座|件|把|次|遍|种|句|首|部|天|年|岁|周|分钟|秒|小时|点|斤|"
    "公斤|千克|公里|亿|万|米|升|倍|半|下|双|对|支|棵|朵|口|层|片|颗|粒|滴|勺|包|盒|袋|罐|碗|盘|根|套|名|群|段|节|架|艘|趟|场|顿|门|项|笔|"
    "批|幅|枚|页|组|人|元|美元|欧元|英镑|种类"
)
"""Words before which 2 is 两."""
_MONEY = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_UNITS = {
    **{"km/h": "公里每小时", "m/s": "米每秒", "km": "公里", "cm": "厘米", "mm": "毫米", "m": "米"},
    **{"km²": "平方公里", "m²": "平方米", "cm²": "平方厘米", "m³": "立方米", "kg": "公斤"},
    **{"cm³": "立方厘米", "s²": "二次方秒"},
    **{"mg": "毫克", "g": "克", "t": "吨", "L": "升", "l": "升", "ml": "毫升", "mL": "毫升"},
    **{
        "s": "秒",
        "ms": "毫秒",
        "min": "分钟",
        "h": "小时",
        "W": "瓦",
        "kW": "千瓦",
        "kWh": "千瓦时",
    },
    **{"V": "伏", "mA": "毫安", "mAh": "毫安时", "Hz": "赫兹", "kHz": "千赫", "MHz": "兆赫"},
    **{
        "GHz": "吉赫",
        "kPa": "千帕",
        "hPa": "百帕",
        "kJ": "千焦",
        "kcal": "千卡",
        "dB": "分贝",
        "mmHg": "毫米汞柱",
    },
    **{"℃": "摄氏度", "°C": "摄氏度", "℉": "华氏度", "°F": "华氏度", "°": "度"},
}
_SIGNS = {
    **{"+": "加", "×": "乘", "*": "乘", "÷": "除以", "=": "等于", "≠": "不等于", "<": "小于"},
    **{">": "大于", "≤": "小于等于", "≥": "大于等于", "≈": "约等于", "±": "正负", "√": "根号"},
    **{"&": "和", "@": "艾特", "#": "井号", "→": "到", "℃": "摄氏度", "°": "度", "%": "百分号"},
}
_PUNCTUATION = str.maketrans(
    {
        **{"。": ". ", "、": ", ", "，": ", ", "！": "! ", "？": "? ", "：": ": ", "；": "; "},
        **{"（": " (", "）": ") ", "“": " “", "”": "” ", "「": " “", "」": "” ", "『": " “"},
        **{"』": "” ", "《": " “", "》": "” ", "【": " “", "】": "” ", "·": " ", "～": "~"},
    }
)
_FULL_WIDTH = {code: chr(code - 0xFEE0) for code in (*range(0xFF10, 0xFF1A), 0xFF05, 0xFF0B)}
_FULL_WIDTH |= {0xFF0D: "-", 0xFF0F: "/", 0xFF0E: ".", 0xFF1D: "="}
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_N = r"\d+(?:\.\d+)?"
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
_SQUARED = {
    code: unicodedata.normalize("NFKC", chr(code)).translate({0x32: "²", 0x33: "³"})
    for code in range(0x3380, 0x33E0)
}
"""Units in one character, such as ㎡."""
_PLAYED = re.compile(r"[战获取连]胜|\d\s?[胜负]|击败|赢|输给|不敌|[战打]平|比分|半场|领先|落后")
"""What a score stands beside."""
_PAUSES, _SENTENCES = re.compile("[，。！？；,;!?]"), re.compile("[。！？!?]")
_COUNTED = re.compile(rf"\s?(?:{_MEASURES}|[月日号时年度℃°%]|{_UNIT})")
"""What follows two numbers that are a range, not a score."""
_PERIODS = "年|月|日|天|周|次|晚|小时|分钟?|秒|人|斤|公斤"
_AFTER_VERB = "(?<=[是为了到至约得于达即])"
"""Where a sign is a number's own, between characters without spaces."""


def amount(digits: str) -> str:
    """Return the whole number ``digits`` as it is read: 10 is 十, 1050 is 一千零五十."""
    digits = digits.lstrip("0") or "0"
    if len(digits) > _LONGEST:
        return spelled(digits)
    if digits == "0":
        return _DIGITS[0]
    words, gap = "", False
    for at, digit in enumerate(digits):
        place = len(digits) - 1 - at
        if digit == "0":
            gap = bool(words)
        else:
            words += ("零" if gap else "") + _DIGITS[int(digit)] + _PLACES[place % 4]
            gap = False
        # A whole group of zeros has no name of its own.
        if place % 4 == 0 and place and digits[max(0, at - 3) : at + 1].strip("0"):
            words += _GROUPS[place // 4]
    words = re.sub(r"^一十", "十", words)
    return re.sub(r"(?<![十百千])二(?=[千万亿])", "两", words)


def spelled(digits: str, *, telephone: bool = False) -> str:
    """Return ``digits`` read one by one; 1 is 幺 in a ``telephone`` number."""
    words = "".join(_DIGITS[int(digit)] for digit in digits if digit.isdigit())
    return words.replace("一", "幺") if telephone else words


def number(text: str) -> str:
    """Return the number ``text``, perhaps with a decimal point, as it is read."""
    whole, _, part = text.partition(".")
    return amount(whole) + (f"点{spelled(part)}" if part else "")


def _power(match: re.Match[str]) -> str:
    exponent = unicodedata.normalize("NFKC", match[1]).replace("−", "负").replace("-", "负")
    return f"的{exponent}次方" if exponent not in ("2", "3") else f"的{'平立'[int(exponent) - 2]}方"


def _score(match: re.Match[str]) -> str:
    """Read a score; a subtraction; numbers that fall otherwise, as in 图2-1; leave a range."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    clause, sentence = (
        end.split(before)[-1] + match.group() + end.split(after)[0] for end in (_PAUSES, _SENTENCES)
    )
    counted = _COUNTED.match(after)
    if _PLAYED.search(clause) or (_PLAYED.search(sentence) and not counted):
        return f"{match[1]}比{match[2]}"
    if re.match(r"\s?(?:=|等于)", after):
        return f"{match[1]}减{match[2]}"
    falls = int(match[1]) > int(match[2]) and not counted
    return f"{match[1]}杠{match[2]}" if falls else match.group()


def _clock(match: re.Match[str]) -> str:
    """Read minutes and seconds: there is no such hour."""
    second = match[2].lstrip("0")
    return f"{amount(match[1])}分" + (f"零{amount(second)}秒" if second else "钟")


def _rate(match: re.Match[str]) -> str:
    above, *below = match[2].split("/")
    return match[1] + _UNITS.get(above, above) + "".join(f"每{_UNITS.get(u, u)}" for u in below)


def _telephone(match: re.Match[str]) -> str:
    groups = re.findall(r"\d+", match.group())
    return "，".join(spelled(group, telephone=True) for group in groups)


def _dialled(match: re.Match[str]) -> str:
    return re.sub(r"\d+", lambda digits: spelled(digits[0], telephone=True), match.group())


def _date(match: re.Match[str]) -> str:
    year, month, day = match.groups()
    return f"{spelled(year)}年{amount(month)}月{amount(day)}日"


def _time(match: re.Match[str]) -> str:
    hour, minute, second = match.groups()
    hours = "两" if int(hour) == 2 else amount(hour)
    minutes = f"零{amount(minute)}" if minute.startswith("0") else amount(minute)
    said = f"{hours}点" + ("" if int(minute) == 0 and not second else f"{minutes}分")
    return said + (f"{amount(second)}秒" if second else "")


def _dotted(match: re.Match[str]) -> str:
    parts = match[1].split(".")
    read = amount if all(part == str(int(part)) and len(part) < 3 for part in parts) else spelled
    return "点".join(map(read, parts)) + (match[2] or "").replace("-", "杠")


def _per(match: re.Match[str]) -> str:
    return f"百分之{number(match.group(1))}"


def _unit(match: re.Match[str]) -> str:
    return f"{match.group(1)}{_UNITS[match.group(2)]}"


def _vulgar(match: re.Match[str]) -> str:
    above, below = unicodedata.normalize("NFKC", match.group(2)).split("⁄")
    return f"{match.group(1)}{'又' if match.group(1) else ''}{amount(below)}分之{amount(above)}"


def _fraction(match: re.Match[str]) -> str:
    """Read a part of a whole; what is more, a ratio, unless a few parts make it up."""
    above, below = match.groups()
    if int(above) > int(below) > 10:
        return f"{amount(above)}比{amount(below)}"
    return f"{amount(below)}分之{amount(above)}"


def _prices(match: re.Match[str]) -> str:
    sign, low, high, scale = match.groups()
    return f"{_rounded(low)}到{_rounded(high)}{scale or ''}{_MONEY[sign]}"


def _money(match: re.Match[str]) -> str:
    return f"{_rounded(match.group(2))}{match.group(3) or ''}{_MONEY[match.group(1)]}"


def _rounded(price: str) -> str:
    return price.rstrip("0").rstrip(".") if "." in price else price


_RULES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"(?<=\d),(?=(?:\d{2},)*\d{3}(?!\d))", ""),
    (r"[₀-₉]+", lambda m: unicodedata.normalize("NFKC", m.group())),
    (r"(\d*)([¼-¾⅐-⅞])", _vulgar),
    (r"(?<![\d/])24/7(?![\d/])", "全天候"),
    (r"(?<![\d.])(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?![\d.])", _date),
    (
        r"(?<!\d)(?:0\d{2,3}-\d{3,4}[ -]?\d{4}|\d{3,4}(?:-\d{3,4}){2,}|"
        r"(?:\+86[ -]?)?1[3-9]\d([ -]?)\d{4}\1\d{4})(?!\d)",
        _telephone,
    ),
    (r"(?<=[打拨])\s?\d{3,5}(?:(?:、|和|或者?)\d{3,5})*(?![\d分折])", _dialled),
    (r"(?<!\d)(\d+(?:\.\d+){2,})(-\d+(?![\w.-]))?", _dotted),
    (r"(?<![\d:])([01]?\d|2[0-4])[:：]([0-5]\d)(?:[:：]([0-5]\d))?(?!\d)", _time),
    (r"(?<![\d:：])(2[5-9]|[3-9]\d|1\d\d)[:：](0\d)(?![\d:：])", _clock),
    (r"(?<=\d)[:：](?=\d)", "比"),
    (r"(?<![\d.-])(\d{1,3})\s?[-–]\s?(\d{1,3})(?![\d.-])", _score),
    (r"(?<!\d)(\d{1,2})·(\d{1,2})(?!\d)", lambda m: spelled(m[1] + m[2])),
    (
        r"(?<!\d号)(?<=[码号编])((?:是|为|[:：])\s?|\s?#?(?=\d{5})|"
        rf"(?=\d+(?!\d|\s?(?:{_MEASURES}|多|余))))#?(\d{{3,}})(?![\d.])",
        lambda m: m[1] + spelled(m[2]),
    ),
    (
        r"(?<=单元)\d{3,4}|(?<!\d)\d{3,4}(?=号?(?:室(?![内外])|房|教室|病房))",
        lambda m: spelled(m.group()),
    ),
    (
        r"(?<=[A-Za-z])(?:-\d{3,}|(?:-\d+){2,})(?![\d.-])",
        lambda m: "".join(f"杠{spelled(group)}" for group in m[0].split("-")[1:]),
    ),
    (r"(?<!\d)(\d{4})[-/](\d\d)(?=赛季|学年|财年)", lambda m: f"{spelled(m[1])}到{spelled(m[2])}"),
    (r"(?<=[A-Za-z])(?![1-9]00(?!\d))\d{3,}(?![\d.])", lambda m: spelled(m.group())),
    (
        r"(?<!\d)\d0(?=后)|(?<=公元)前?\d+(?=年)",
        lambda m: m.group().strip("0123456789") + spelled(m.group()),
    ),
    (r"(?<!\d)(\d{4})(?=年|[-–—~～至到]\d{4}年)", lambda m: spelled(m.group())),
    (rf"([¥￥$€£])\s?({_N})\s?[-–—~～]\s?[¥￥$€£]?({_N})\s?([千万亿]+)?", _prices),
    (rf"([¥￥$€£])\s?({_N})\s?([千万亿]+)?元?", _money),
    (rf"(?<!\d)[-−](?={_N}\s?(?:[~～到至]\s?{_N}\s?)?(?:℃|°C|摄氏度|度))", "零下"),
    (rf"(?<=\d)([{_SUPERSCRIPTS}]+)", _power),
    (r"(?<=[\w)）])\^[{(（]?([-−]?[A-Za-z\d]+)[)）}]?", _power),
    (
        rf"({_N}[千万亿]*)\s?((?:[A-Za-zμµ]{{1,4}}|{_PERIODS})(?:/(?:{_UNIT}|{_PERIODS}))+)"
        r"(?![A-Za-z²³/])",
        _rate,
    ),
    (rf"({_N}[千万亿]*|方)\s?({_UNIT})(?![A-Za-z²³])", _unit),
    (rf"([{_SUPERSCRIPTS}]+)", _power),
    (r"(?<=\d)\s+[-−–]\s+(?=\d)", "减"),
    (rf"(?<=[\d%年月日号点分度{_DIGITS}])\s?[-–—~～]\s?(?=[\d{_DIGITS}两十])", "到"),
    (rf"(?<![\dA-Za-z)])[-−](?={_N}\s?%)|{_AFTER_VERB}[-−](?=\d)", "负"),
    (rf"(?<![\dA-Za-z)])\+(?={_N}\s?%)|{_AFTER_VERB}\+(?=\d)", "正"),
    (rf"({_N})\s?%", _per),
    (rf"(?<=[\u4e00-\u9fff])/(?={_PERIODS})|(?<=[升克卡焦元])/(?=\d)", "每"),
    (r"(?<![\d/])(\d+)/(\d+)(?![\d/])", _fraction),
    (r"(?<![\w)])[-−](?=\d)", "负"),
    (rf"(?<![\d.第])2(?=\s?(?:{_MEASURES}))", "两"),
    (r"(?<=\w)\.(?=[A-Za-z])", "点"),
    (r"(?<![\d.])0\d+(?![\d.])", lambda m: spelled(m.group())),
    (_N, lambda m: number(m.group())),
    *((rf"\s*{re.escape(sign)}\s*", words) for sign, words in _SIGNS.items()),
)
_WRITTEN = tuple((re.compile(pattern), words) for pattern, words in _RULES)
_DROPPED = re.compile(r"\[(?:[ xX]|\^\w+)\]|-{3,}|_{3,}|[\\{}\[\]|^_~\u2190-\u21ff]")
_SPACE_BEFORE = re.compile(r"\s+(?=[,.;:!?])|(?<=[,.;:!?])(?:\s*,)+")


def chinese_form(text: str) -> str:
    """Return ``text`` with numbers and signs in characters and punctuation as Kokoro knows it."""
    text = text.translate(_FULL_WIDTH | _SQUARED)
    for pattern, words in _WRITTEN:
        text = pattern.sub(words, text)
    text = _DROPPED.sub(" ", text.translate(_PUNCTUATION))
    return " ".join(_SPACE_BEFORE.sub("", text).split()).lstrip(",.;:!? ")
