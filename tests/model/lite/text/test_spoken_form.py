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

from model.lite.text.numerals import MONTHS, ordinal
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
5x - 2x = 12 | five x minus two x equals twelve
10 kg - 4 kg = 6 kg | ten kilograms minus four kilograms equals six kilograms
from 10 kg - 12 kg | from ten kilograms to twelve kilograms
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
n! = 120 | n factorial equals one hundred twenty
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
10kΩ | ten kilo ohms
10 kg/m³ | ten kilograms per cubic meter
60°N of it | sixty degrees N of it
∀ x ∈ A | for all x in A
-5 × -3 = 15 | minus five times minus three equals fifteen
about 2000-2500 calories a day | about two thousand to twenty five hundred calories a day
8000-10000 steps | eight thousand to ten thousand steps
500-1000 people | five hundred to one thousand people
10000-20000 users | ten thousand to twenty thousand users
200000-300000 years ago | two hundred thousand to three hundred thousand years ago
See pages 998-1005. | See pages nine hundred ninety eight to one thousand five.
from 1914-1918 | from nineteen fourteen to nineteen eighteen
from 1990-95 | from nineteen ninety to ninety five
On a 0-10 scale | On a zero to ten scale
It is 0-100 km/h in 5 s. | It is zero to one hundred kilometers per hour in five seconds.
The lottery: 12-24-31-45 | The lottery: twelve twenty four thirty one forty five
a 50-50 chance | a fifty fifty chance
the 1980s-1990s | the nineteen eighties to nineteen nineties
10k-20k of them | ten k to twenty k of them
From -5–-2 there | From minus five to minus two there
Call 736-5000. | Call seven three six five oh oh oh.
Dial 2000-2500. | Dial two oh oh oh two five oh oh.
Call 1 800 555 1234 now. | Call one eight hundred five five five one two three four now.
Call 0171 1234567 now. | Call oh one seven one one two three four five six seven now.
The zip is 90210-1234. | The zip is nine oh two one oh one two three four.
Dial 911 now. | Dial nine one one now.
There are 911 people. | There are nine hundred eleven people.
Ping 10.100.200.150 now. | Ping ten dot one hundred dot two hundred dot one hundred fifty now.
It is 1.000.000.000 big. | It is one billion big.
100 000 people | one hundred thousand people
It costs ₹1,50,000. | It costs one hundred fifty thousand rupees.
It costs ₹2.5 crore. | It costs two point five crore rupees.
$3000-4000 a month | three thousand to four thousand dollars a month
$10-15k | ten to fifteen thousand dollars
$1-2 million | one to two million dollars
$1.5M | one point five million dollars
€2bn | two billion euros
It costs 2 M€, or 1 €. | It costs two million euros, or one euro.
It costs 5 USD. | It costs five U.S. dollars.
$5 - $3 = $2 | five dollars minus three dollars equals two dollars
a $20 bill, $20 in all | a twenty dollar bill, twenty dollars in all
a $2 million house | a two million dollar house
€3/kg | three euros per kilogram
$100-200/night | one hundred to two hundred dollars per night
Add 200 g of flour. | Add two hundred grams of flour.
Add 100g of it. | Add one hundred grams of it.
a room 5 m wide | a room five meters wide
He is 1.80 m tall. | He is one point eight meters tall.
2 L of water | two liters of water
1 L of water | one liter of water
½ L of water | one half liter of water
1 1/2 L, 1½ tsp of it | one and one half liters, one and one half teaspoons of it
a 2 L bottle | a two liter bottle
60 W | sixty watts
a 60W bulb | a sixty watt bulb
a 5-km run | a five kilometer run
12 V and 20 A. | twelve volts and twenty amps.
He got 5 A grades. | He got five A grades.
in 10 s, or 1.5s | in ten seconds, or one point five seconds
in the 90s | in the nineties
1h30m of it | one hour thirty minutes of it
10 min. later | ten minutes later
300-400 g | three hundred to four hundred grams
5 km-10 km | five kilometers to ten kilometers
9.8 m/s² | nine point eight meters per second squared
90 mg/dL | ninety milligrams per deciliter
5.5 L/100 km | five point five liters per one hundred kilometers
100 calories/day | one hundred calories per day
1013 hPa | ten thirteen hectopascals
5.5 kWh of it | five point five kilowatt hours of it
16 GB at 100 Mbps | sixteen gigabytes at one hundred megabits per second
3 tbsp and 8 fl oz | three tablespoons and eight fluid ounces
100 sq ft, 20 ft² | one hundred square feet, twenty square feet
the 5G network | the five G network
$5 m or 5 m high | five million dollars or five meters high
Drill a 1/16 inch hole. | Drill a one sixteenth inch hole.
3/16 or 15/16" | three sixteenths or fifteen sixteenths inches
1 5/16 inches, 2-1/2 inches | one and five sixteenths inches, two and one half inches
5/12 of it, 1/100 of it | five twelfths of it, one hundredth of it
It is due on 3/16. | It is due on March sixteenth.
It is on 12/25. | It is on December twenty fifth.
On 11-27-2026 | On November twenty seventh, twenty twenty six
On 27.11.2026 | On November twenty seventh, twenty twenty six
open 24/7 | open twenty four seven
open "24/7". | open "twenty four seven".
on 9/11 | on nine eleven
They call it "9/11". | They call it nine eleven.
a "50/50" chance | a "fifty fifty" chance
a 3/16" hole | a three sixteenths inches hole
at 350 W 34th Street | at three hundred fifty W thirty fourth Street
at 500 N Michigan Avenue | at five hundred N Michigan Avenue
a 60 W Philips bulb | a sixty watt Philips bulb
It uses 60 W. The lamp is old. | It uses sixty watts. The lamp is old.
at 40.7 N, 74.1 W | at forty point seven N, seventy four point one W
Give her $20 every week. | Give her twenty dollars every week.
I think that $50 should do. | I think that fifty dollars should do.
I give it 8/10, or 9.5/10. | I give it eight out of ten, or nine point five out of ten.
3/10 of a mile | three tenths of a mile
4/5 stars | four out of five stars
It is 120/80 now. | It is one hundred twenty over eighty now.
2½ cups | two and one half cups
⅓ cup, 1⅔ cups | one third cup, one and two thirds cups
Version v2.13.0 | Version v two point thirteen point zero
1e-5 | one times ten to the power of minus five
x^2 + y^3 | x squared plus y cubed
3x faster, 2x a day | three times faster, two times a day
He is 5'11 tall, she is 6' tall. | He is five feet eleven inches tall, she is six feet tall.
a 12" pizza | a twelve inch pizza
65°-70°F | sixty five degrees to seventy degrees Fahrenheit
See p. 12, pp. 3-5. | See page twelve, pages three to five.
It is at ext. 12. | It is at extension twelve.
built ca. 1850 | built circa eighteen fifty
at UTC-5 or UTC+2 | at UTC minus five or UTC plus two
Mon–Fri, 3-5pm | Monday to Friday, three to five pm
from Jan-Mar, A-Z | from January to March, A to Z
May 5-7 | May fifth to seventh
the 16th-18th century | the sixteenth to eighteenth century
Henry VIII's wives | Henry the eighth's wives
on Main St. It is | on Main Street. It is
Visit St. Louis | Visit Saint Louis
It is 149.6 million km away. | It is one hundred forty nine point six million kilometers away.
between 1939-1945 | between nineteen thirty nine and nineteen forty five
a 60/40 split | a sixty forty split
a $25-50 budget | a twenty five to fifty dollar budget
a 512GB SSD | a five hundred twelve gigabyte SSD
5 m x 3 m | five meters by three meters
2 in. of rain | two inches of rain
joe@example.com | joe at example dot com
H2O and CO₂ | H two O and C O two
It costs $.50. | It costs fifty cents.
Use Python 3.10, or 3.0. | Use Python three point ten, or three point zero.
He is 6 ft 2 in tall. | He is six feet two inches tall.
during WWII | during World War two
Add 1/2. | Add one half.
the 2024/25 season | the twenty twenty four twenty five season
on 2026-11-27T14:05 | on November twenty seventh, twenty twenty six, fourteen oh five
at 2026-03-02T09:15+01:00 | at March second, twenty twenty six, nine fifteen U T C plus one
Open notes_2024.txt first. | Open notes twenty twenty four dot t x t first.
Go to openai.com/pricing to see. | Go to openai dot com slash pricing to see.
Edit /etc/hosts as root. | Edit slash etc slash hosts as root.
It is in src/main.py. | It is in src slash main dot py.
At 10.0.0.1:8080 | At ten dot zero dot zero dot one port eighty eighty
Use 10.0.0.0/24. | Use ten dot zero dot zero dot zero slash twenty four.
either/or, and/or | either or, and or
Salt is NaCl, it is KNO3. | Salt is N A C L, it is K N O three.
Glucose is C6H12O6, rust is Fe2O3. | Glucose is C six H twelve O six, rust is F E two O three.
CPUs, PCs and H1N1 | CPUs, PCs and H one N one
SO4^2- and Ca²⁺ | S O four two minus and C A two plus
in the XIX century | in the nineteenth century
in the XX and XXI centuries | in the twentieth and twenty first centuries
on page xii, in scene ii | on page twelve, in scene two
It costs 3,50 €, or €3,50. | It costs three euros and fifty cents, or three euros and fifty cents.
It is 18,5 °C. | It is eighteen point five degrees Celsius.
It is 3,2 % more. | It is three point two percent more.
a 1,5-liter bottle | a one point five liter bottle
7,8 billion people | seven point eight billion people
Pi is 3,14159 there. | Pi is three point one four one five nine there.
Choose 1,2 or 3. | Choose one, two or three.
The Lakers beat them 112-105. | The Lakers beat them one hundred twelve to one hundred five.
The odds are 7/2. | The odds are seven to two.
at 6.30pm | at six thirty p.m.
He ran 100m in 45s. | He ran one hundred meters in forty five seconds.
5m people | five million people
The 100m finals, 5m users | The one hundred m finals, five million users
a 55" screen, 21" across | a fifty five inch screen, twenty one inches across
He said "room 5" and left. | He said "room five" and left.
US$ 34 trillion | thirty four trillion dollars
C$50, or A$2.5M | fifty Canadian dollars, or two point five million Australian dollars
CHF 20, EUR 1,500 | twenty Swiss francs, one thousand five hundred euros
₺300 or 500₽ | three hundred Turkish liras or five hundred rubles
the ratio 1:1000, or 1:25,000 | the ratio one to one thousand, or one to twenty five thousand
on Elm Dr. near it | on Elm Drive near it
Dr. Jones lives on Sunset Dr. | Doctor Jones lives on Sunset Drive.
on 5th Ave, or Elm Rd | on fifth Avenue, or Elm Road
at min. 3, max. 5 | at minimum three, maximum five
500 mg 3x/day | five hundred milligrams three times per day
5! = 120 | five factorial equals one hundred twenty
4.8★ of it | four point eight stars of it
on Sun 5/12 | on Sun May twelfth
550e8400 | five hundred fifty e eighty four hundred
Play GTA V or Diablo III. | Play GTA five or Diablo three.
Tsar Nicholas II, Emperor Joseph I | Tsar Nicholas the second, Emperor Joseph the first
Charles V's court, John V. Lindsay | Charles the fifth's court, John V. Lindsay
The IV line and Malcolm X | The IV line and Malcolm X
It costs 20 zł, or 200 Kč. | It costs twenty zlotys, or two hundred korunas.
It costs 12 Mio. €, or 1 Mrd. €. | It costs twelve million euros, or one billion euros.
It costs 3.500 €, or CHF 40.–. | It costs three thousand five hundred euros, or forty Swiss francs.
She raised 5m in funding, or 900bn. | She raised five million in funding, or nine hundred billion.
It opens at 19h30. | It opens at nineteen thirty.
on 2026/11/27 | on November twenty seventh, twenty twenty six
on 3.10.1990 | on October third, nineteen ninety
Dec 25–Jan 2 | December twenty fifth to January second
400 N·m at 3 bar | four hundred newton meters at three bar
0.6 W/(m·K) of it | zero point six watts per meter kelvin of it
9.81 m·s⁻² of it | nine point eight one meters per second squared of it
20 mg/kg/day | twenty milligrams per kilogram per day
12 st 7 lb, 35 mpg | twelve stone seven pounds, thirty five miles per gallon
at 425ºF | at four hundred twenty five degrees Fahrenheit
a 2×4 board, a 9×13-inch pan | a two by four board, a nine by thirteen inch pan
What is 7×8? Take 2 x 500 mg. | What is seven times eight? Take two times five hundred milligrams.
Mix it 1:2:3. | Mix it one to two to three.
sin²θ, f′(x) and 2ⁿ | sine squared theta, f prime x and two to the power of n
A ⊆ B, aₙ | A subset of or equal to B, a n
∫₀¹ x² dx | the integral from zero to one of x squared dx
10 % 4 !== 3 | ten mod four is not equal to three
at 40°26′46″N | at forty degrees twenty six minutes forty six seconds N
Play Nf3, then Qxh7#. | Play knight f three, then queen takes h seven mate.
in Washington, DC 20500 | in Washington, D C two oh five oh oh
DE89 3704 0044 05 | D E eight nine, three seven oh four, oh oh four four, oh five
Call +49 (0)30 901820. | Call plus four nine, three oh, nine oh one eight two oh.
rated 4.7/5, scored 18/20 | rated four point seven out of five, scored eighteen out of twenty
in Baker St, London | in Baker Street, London
At 0745 hrs | At oh seven four five hours
80°C/175°F | eighty degrees Celsius, one hundred seventy five degrees Fahrenheit
2H₂O, Fe³⁺ → Cu | two H two O, F E three plus to C U
ΔG = TΔS, λ | delta G equals T delta S, lambda
the 1990s' F-16s, the 747s | the nineteen nineties F sixteens, the seven hundred forty sevens
Set MAX_RETRIES, n! is large. | Set max retries, n factorial is large.
Ctrl+C | control plus C
39,90 zł or 1 299 Kč | thirty nine point nine zlotys or one thousand two hundred ninety nine korunas
It costs CHF 2'400. | It costs two thousand four hundred Swiss francs.
Kernel 6.1.0-18 is out. | Kernel six point one point zero dash eighteen is out.
2.0.0-rc.1 | two point zero point zero rc point one
2.3.1+cu121 | two point three point one plus cu one twenty one
At 41:05, or 90:00. | At forty one oh five, or ninety minutes.
Read Psalm 23:1-3 aloud. | Read Psalm twenty three one to three aloud.
at 2:53/km, 5 U/kg/day | at two fifty three per kilometer, five U per kilogram per day
50 mg/5 mL, 2 kg/4 lb | fifty milligrams per five milliliters, two kilograms, four pounds
SO₄²⁻ | S O four two minus
5/16" of a 3 1/2" board | five sixteenths inches of a three and one half inches board
at Baker St., London | at Baker Street, London
Open Sat 10-4, Sun 9am. | Open Saturday ten to four, Sunday nine a.m.
My zip code is 94103. | My zip code is nine four one oh three.
He made 100* off 87, dated by ¹⁴C. | He made one hundred off eighty seven, dated by fourteen C.
$5M–6M for 4B people | five million to six million dollars for four billion people
2.3.0.windows.1 | two point three point zero dot windows point one
7.0.9+9 | seven point zero point nine plus nine
Reply by 30/9. | Reply by September thirtieth.
I got 23/38 right, or 17/20. | I got twenty three over thirty eight right, or seventeen over twenty.
23/38 students, 36/48 | twenty three out of thirty eight students, thirty six over forty eight
x = 5/11, a 1/20 chance | x equals five over eleven, a one twentieth chance
3 5/17, 23/38 of a mile | three and five seventeenths, twenty three thirty eighths of a mile
On 5/7, or 3/13 at 5, by 1/3 | On May seventh, or March thirteenth at five, by one third
between €10-20, $10-$20 | between ten and twenty euros, ten to twenty dollars
between 5-10 minutes | between five and ten minutes
between 5 kg-10 kg | between five kilograms and ten kilograms
between 200-100 | between two hundred and one hundred
+1-212-555-0147 24/7 | plus one two one two five five five oh one four seven twenty four seven
Dial 911, or 112 in the EU. | Dial nine one one, or one one two in the EU.
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
    assert len(ROWS) >= 300


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
    tens = enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2
    )
    values |= {name: str(ten) for ten, name in tens}
    values |= {month.lower(): str(n) for n, month in enumerate(MONTHS, 1)}
    values |= {"half": "2", "quarter": "4", "quarters": "4"}
    values |= {ordinal(n) + plural: str(n) for n in range(1, 101) for plural in ("", "s")}
    said = re.findall(r"\d|[a-z]+", speakable(f"It is {written} there.").lower())
    digits = "".join(values.get(word, word if word.isdigit() else "") for word in said)
    assert digits == re.sub(r"\D", "", written)
