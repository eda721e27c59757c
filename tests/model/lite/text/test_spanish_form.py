"""Numbers, signs and abbreviations in Spanish text, as they are read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("unicode_rbnf", reason="needs unicode-rbnf (covo[spanish])")

from model.lite.text.spanish.form import spanish_form
from model.lite.text.speakable import speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Tengo 1 gato y 21 libros.", "Tengo un gato y veintiún libros."),
        ("Hay 21 personas y 200 mesas.", "Hay veintiuna personas y doscientas mesas."),
        ("Son 31, no 30.", "Son treinta y uno, no treinta."),
        (
            "En 2001 nació y en 1984 murió.",
            "En dos mil uno nació y en mil novecientos ochenta y cuatro murió.",
        ),
        (
            "1.234.567 habitantes",
            "un millón doscientos treinta y cuatro mil quinientos sesenta y siete habitantes",
        ),
        (
            "12 500 m, 1,250,000 y $1,250",
            "doce mil quinientos metros, un millón doscientos cincuenta mil y mil "
            "doscientos cincuenta dólares",
        ),
        (
            "Pi es 3,1416; 3,14 o 2.5.",
            "Pi es tres coma uno cuatro uno seis; tres coma catorce o dos punto cinco.",
        ),
        ("0,05 y 0,007", "cero coma cero cinco y cero coma cero cero siete"),
        ("el 15 % y un 12,5%", "el quince por ciento y un doce coma cinco por ciento"),
        (
            "del 15/03/2026 al 2026-05-01",
            "del quince de marzo de dos mil veintiséis al primero de mayo de dos mil veintiséis",
        ),
        ("el 1 de enero y el 24/12", "el primero de enero y el veinticuatro de diciembre"),
        (
            "1.º de mayo, 3.er piso, 2ª vez, 1º",
            "primero de mayo, tercer piso, segunda vez, primero",
        ),
        ("el 1er día y la 5ta calle", "el primer día y la quinta calle"),
        ("A las 14:30 o a las 9:15.", "A las catorce y treinta o a las nueve y cuarto."),
        ("a la 1:30, a las 21:00 h", "a la una y media, a las veintiuna horas"),
        (
            "a las 5 p. m. y a las 8:30 a.m.",
            "a las cinco de la tarde y a las ocho y media de la mañana.",
        ),
        ("de 9:00-17:30", "de nueve a diecisiete y treinta"),
        ("a la 1 en punto", "a la una en punto"),
        (
            "Cuesta 3,50 € o $5.99.",
            "Cuesta tres euros con cincuenta o cinco dólares con noventa y nueve.",
        ),
        (
            "1 €, 0,99 €, 20 EUR, US$ 100",
            "un euro, noventa y nueve céntimos, veinte euros, cien dólares",
        ),
        (
            "2,5 millones de €, 3 M€, £200",
            "dos coma cinco millones de euros, tres millones de euros, doscientas libras",
        ),
        ("entre €10-20", "entre diez y veinte euros"),
        ("-5 °C, 21 ºC y 1 °", "menos cinco grados Celsius, veintiún grados Celsius y un grado"),
        (
            "120 km/h, 5 km, 2 kg y 1 m",
            "ciento veinte kilómetros por hora, cinco kilómetros, dos kilogramos y un metro",
        ),
        (
            "100 m², 3 m3 y 5 kg/m³",
            "cien metros cuadrados, tres metros cúbicos y cinco kilogramos por metro cúbico",
        ),
        ("500 ml, 1 h y 200 g.", "quinientos mililitros, una hora y doscientos gramos."),
        ("21 t, 16 GB, 60 W", "veintiuna toneladas, dieciséis gigabaits, sesenta vatios"),
        ("3-5 días, ganó 2-1", "tres a cinco días, ganó dos a uno"),
        ("1990-1995", "mil novecientos noventa a mil novecientos noventa y cinco"),
        ("5 - 3 = 2", "cinco menos tres es igual a dos"),
        ("2 + 3 × 4 ≠ 20 ÷ 2", "dos más tres por cuatro es distinto de veinte entre dos"),
        ("x² y 10³", "equis al cuadrado y diez al cubo"),
        ("1/2 taza, 3/4 de hora, 2/3", "media taza, tres cuartos de hora, dos tercios"),
        ("2½ tazas, 1 1/2 horas, 1/12", "dos y media tazas, una y media horas, un doceavo"),
        ("sacó 23/38, 17/20", "sacó veintitrés sobre treinta y ocho, diecisiete sobre veinte"),
        ("15/16, 3/17 del total", "quince dieciseisavos, tres diecisieteavos del total"),
        ("entre $5-$7", "entre cinco y siete dólares"),
        ("10€-20€, 5 kg - 10 kg", "diez a veinte euros, cinco a diez kilogramos"),
        ("100 € - 20 €", "cien menos veinte euros"),
        ("entre las 10:00-12:00", "entre las diez y doce"),
        (
            "entre un 10-20 % o 10 %-20 %",
            "entre un diez y veinte por ciento o diez a veinte por ciento",
        ),
        ("Llama al 600 123 456.", "Llama al seis cero cero, uno dos tres, cuatro cinco seis."),
        ("+34 91 123 45 67", "más tres cuatro, nueve uno, uno dos tres, cuatro cinco, seis siete"),
        (
            "teléfono 5551234, código 0042",
            "teléfono cinco cinco cinco uno dos tres cuatro, código cero cero cuatro dos",
        ),
        ("siglo XXI, siglo V, Felipe VI", "siglo veintiuno, siglo quinto, Felipe sexto"),
        ("Isabel II, Luis XIV, capítulo IV", "Isabel segunda, Luis catorce, capítulo cuatro"),
        ("El Sr. López y la Dra. Gil", "El señor López y la doctora Gil"),
        (
            "EE. UU., p. ej., 44 a. C.",
            "Estados Unidos, por ejemplo, cuarenta y cuatro antes de Cristo",
        ),
        ("n.º 5, pág. 12, etc.", "número cinco, página doce, etcétera."),
        ("La ONU, el FBI y la OTAN", "La ONU, el efe be i y la OTAN"),
        ("un MP3, COVID-19, vitamina C", "un eme pe tres, COVID diecinueve, vitamina ce"),
        (
            "versión 1.2.3, 192.168.1.1",
            "versión uno punto dos punto tres, ciento noventa y dos punto ciento sesenta y "
            "ocho punto uno punto uno",
        ),
        ("ana@correo.es, #1, 24/7", "ana arroba correo punto es, número uno, veinticuatro siete"),
        ("los años 90, los 80s", "los años noventa, los ochenta"),
        ("21 000 000 de euros", "veintiún millones de euros"),
        ("¿Cuántos? ¡100!", "¿Cuántos? ¡cien!"),
        ("«Sí», dijo α y π", "“Sí”, dijo alfa y pi"),
        (
            "Abre a las 20:30 h. Cierra a la 1 p. m.",
            "Abre a las veinte y treinta. Cierra a la una de la tarde.",
        ),
        (
            "1h30, H2O, CO2, v2.0.1",
            "una y media, hache dos O, ce o dos, uve dos punto cero punto uno",
        ),
        (
            "el 612345678, ISBN 978-84-37",
            "el seis uno dos tres cuatro cinco seis siete ocho, i ese be ene nueve siete "
            "ocho, ocho cuatro, tres siete",
        ),
        (
            "$1,299.99 MXN, 3 $/kg, 50 €/mes",
            "mil doscientos noventa y nueve pesos mexicanos con noventa y nueve, tres "
            "dólares por kilogramo, cincuenta euros por mes",
        ),
        (
            "5 cm x 10 cm, 150 millones de km",
            "cinco centímetros por diez centímetros, ciento cincuenta millones de kilómetros",
        ),
    ],
)
def test_numbers_and_signs_are_written_as_they_are_read(written: str, said: str) -> None:
    assert spanish_form(written) == said


@settings(deadline=None)
@given(st.text())
def test_no_digit_is_left(text: str) -> None:
    assert not any(char.isdecimal() for char in spanish_form(text))


def test_markup_and_what_has_no_sounds_is_left_out() -> None:
    assert speakable("**Hola**, 3 * 4 = 12.", "es") == "Hola, tres por cuatro es igual a doce."
    assert speakable("Mira https://ejemplo.es y 你好.", "es") == "Mira un enlace y."
    assert speakable("```python\nx = 1\n```", "es") == "He puesto el código en la transcripción."
    assert speakable("Es $x^2$.", "es") == "Es equis al cuadrado."
