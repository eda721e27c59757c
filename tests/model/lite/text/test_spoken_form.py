"""Numbers and signs are spoken as a person reads them: the table, and that nothing is lost.

What is written and what must be heard are compared as phonemes, without stress.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.lite.text.phonemes import Phonemizer
from model.lite.text.speakable import speakable

TABLE = """
The low tonight is −7 °C. | The low tonight is minus seven degrees Celsius.
It was -3 outside. | It was minus three outside.
Between −5 and −2 degrees. | Between minus five and minus two degrees.
The result is (-7). | The result is minus seven.
He owes -$5. | He owes minus five dollars.
Call 0800 123 4567 now. | Call oh eight hundred one two three four five six seven now.
Call 555-0123. | Call five five five oh one two three.
Call (555) 123-4567. | Call five five five one two three four five six seven.
Call +1 555 0199. | Call plus one five five five oh one nine nine.
Call +44 20 7946 0958. | Call plus four four two oh seven nine four six oh nine five eight.
Call 020 7946 0958. | Call oh two oh seven nine four six oh nine five eight.
Dial 1-800-555-0100. | Dial one eight hundred five five five oh one hundred.
The code is 007. | The code is oh oh seven.
The zip is 02139. | The zip is oh two one three nine.
The pin is 0000. | The pin is oh oh oh oh.
1234 5678 9012 | one two three four five six seven eight nine oh one two
7 * 8 = 56 | seven times eight equals fifty six
So 2*3 = 6. | So two times three equals six.
2*3*4 = 24 | two times three times four equals twenty four
5×3 = 15 | five times three equals fifteen
5 · 3 = 15 | five times three equals fifteen
10÷2 = 5 | ten divided by two equals five
10 / 2 = 5 | ten divided by two equals five
5 - 3 = 2 | five minus three equals two
5 − 3 = 2 | five minus three equals two
5 – 3 = 2 | five minus three equals two
2 + 2 = 4 | two plus two equals four
2+2=4 | two plus two equals four
2^10 = 1024 | two to the power of ten equals one thousand twenty four
2**3 | two to the power of three
x² + y² = z² | x squared plus y squared equals z squared
√16 = 4 | the square root of sixteen equals four
Is 3 < 5? Yes. | Is three less than five? Yes.
5 > 3 | five greater than three
a >= 5 | a greater than or equal to five
x ≤ 10 | x less than or equal to ten
x ≠ 7 | x is not equal to seven
π ≈ 3.14 | pi is about three point one four
It takes ~5 minutes. | It takes about five minutes.
It takes ≈ 3 hours. | It takes about three hours.
20% ± 3 | twenty percent plus or minus three
6.02×10^23 | six point zero two times ten to the power of twenty three
1e5 | one times ten to the power of five
n! = 120 | n! equals one hundred twenty
1 000 000 people | one million people
1 000 000 people | one million people
1,000,000 people | one million people
1.000.000 people | one million people
12 000 euros | twelve thousand euros
1,250 of them | one thousand two hundred fifty of them
100,000 | one hundred thousand
$5–$10 | five to ten dollars
$5-10 | five to ten dollars
€3–€4 | three to four euros
£20 - £30 | twenty to thirty pounds
It costs $5. | It costs five dollars.
It costs $3.50. | It costs three dollars and fifty cents.
It costs $1,250.50. | It costs one thousand two hundred fifty dollars and fifty cents.
It costs 5 €. | It costs five euros.
It costs 5€. | It costs five euros.
It costs £1.5 million. | It costs one point five million pounds.
It costs $5M. | It costs five million dollars.
It costs $0.99. | It costs ninety nine cents.
$15/hr | fifteen dollars per hour
¥500 | five hundred yen
10–20 people | ten to twenty people
10-20 people | ten to twenty people
5–10% | five to ten percent
10% - 20% | ten percent to twenty percent
See page 12-15. | See page twelve to fifteen.
1,000–2,000 people | one thousand to two thousand people
From 1990-1995. | From nineteen ninety to nineteen ninety five.
A 9–5 job | A nine to five job
The score was 3-1. | The score was three to one.
A ratio of 3:1. | A ratio of three to one.
In 16:9. | In sixteen to nine.
Add 1/2 cup. | Add one half cup.
Add ½ cup. | Add one half cup.
3/4 of it | three quarters of it
It is 3.14159. | It is three point one four one five nine.
It is .5 of it. | It is point five of it.
It is 0.5 of it. | It is zero point five of it.
It is 0.001. | It is zero point zero zero one.
Version v2.0.1 | Version v two point zero point one
Python 3.11.7 | Python three point eleven point seven
At 192.168.0.1 | At one hundred ninety two dot one hundred sixty eight dot zero dot one
It is 10:30. | It is ten thirty.
At 7:05 | At seven oh five
At 12:00 | At twelve o'clock
On 2024-03-05 | On March fifth, twenty twenty four
It was 1995. | It was nineteen ninety five.
In the 1990s | In the nineteen nineties
The 42nd one | The forty second one
The 1st of 3 | The first of three
It is 90° there. | It is ninety degrees there.
At 45°, then | At forty five degrees, then
5'10" tall | five feet ten inches tall
5′ 10″ tall | five feet ten inches tall
Go 5 km/h | Go five kilometers per hour
100 m² | one hundred square meters
3 m³ | three cubic meters
5 µg | five micrograms
5 ft | five feet
2.4 GHz | two point four gigahertz
1920x1080 | nineteen twenty by ten eighty
3 x 4 = 12 | three times four equals twelve
50+ people | fifty plus people
18+ | eighteen plus
№ 5 | number five
We are #1. | We are number one.
See § 3. | See section three.
A → B | A to B
x->y | x to y
Use C#. | Use C sharp.
Use C++. | Use C plus plus.
Go for R&D. | Go for R and D.
Go to example.com. | Go to example dot com.
Open main.python. | Open main dot python.
C:\\Users | C: backslash Users
the * operator | the asterisk operator
5‰ | five per thousand
ISBN 978-3-16-148410-0 | ISBN nine seven eight three one six one four eight four one oh oh
$5 + $3 = $8 | five dollars plus three dollars equals eight dollars
A Boeing 747-400 | A Boeing seven hundred forty seven four hundred
A loss of $-5 | A loss of minus five dollars
It costs 100 $. | It costs one hundred dollars.
€1.234,56 | one thousand two hundred thirty four euros and fifty six cents
It is 3,5 big. | It is three, five big.
1,2,3 and go | one, two, three and go
10⁻³ of it | ten to the power of minus three of it
From 9 a.m.–5 p.m. | From nine a.m. to five p.m.
From 12:00–13:00 | From twelve o'clock to thirteen o'clock
Call 555.123.4567. | Call five five five, one two three, four five six seven.
The 1st–3rd | The first to third
A grade of B-, | A grade of B minus,
Use v1.2 | Use v one point two
5 1/2 cups | five and one half cups
10kΩ | ten kiloohms
10 kg/m³ | ten kilograms per cubic meter
60°N of it | sixty degrees N of it
∀ x ∈ A | for all x in A
-5 × -3 = 15 | minus five times minus three equals fifteen
"""
ROWS = [
    tuple(part.strip() for part in line.rsplit(" | ", 1)) for line in TABLE.strip().splitlines()
]


@cache
def converter() -> Any:
    return Phonemizer().g2p


def sounds(text: str) -> str:
    """The phonemes of ``text`` without stress, pauses and the liberties of fast speech."""
    return (
        re.sub(r"[ˈˌ\s.,;:!?()—“”\"-]", "", converter()(text)).replace("ᵊ", "ə").replace("T", "t")
    )


def test_the_table_is_long_enough() -> None:
    assert len(ROWS) >= 120


@pytest.mark.parametrize(("written", "heard"), ROWS)
def test_it_is_said_as_a_person_reads_it(written: str, heard: str) -> None:
    assert sounds(speakable(written)) == sounds(heard)


@pytest.mark.parametrize("british", [False, True])
def test_no_word_digit_or_sign_of_the_table_is_lost(
    british: bool, caplog: pytest.LogCaptureFixture
) -> None:
    phonemizer = Phonemizer(british=british)
    for written, _ in ROWS:
        assert phonemizer.pieces(speakable(written))[0]
    assert "no sounds" not in caplog.text
    phonemizer.pieces("±")
    phonemizer.pieces("巴黎")
    assert caplog.text.count("no sounds") == 1


@settings(deadline=None)
@given(st.from_regex(r"[$€]?[-−]?[0-9]{1,6}([ .,:/×*+=<–-][0-9]{1,4}){0,2}[%°]?", fullmatch=True))
def test_the_digits_of_any_number_are_said(written: str) -> None:
    names = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    values = {name: str(digit) for digit, name in enumerate(names)} | {"hundred": "00"}
    said = re.findall(r"\d|[a-z]+", speakable(f"It is {written} there."))
    digits = "".join(values.get(word, word if word.isdigit() else "") for word in said)
    assert digits == re.sub(r"\D", "", written)
