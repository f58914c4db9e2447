"""What stands beside numbers: currencies and units of a thousand and more. Must not know how numbers are written."""

from decimal import Decimal


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _each(factor: Decimal, text: str) -> dict[str, Decimal]:
    return dict.fromkeys(text.split(), factor)


# Currencies by letters, as they stand beside amounts, where they are not other units as well (Ft, pounds); signs such
# as € are told by their Unicode category.
CURRENCY_WORDS = _words(
    "kr kč kc zł zl lei leu лв kn ден руб р грн тг сум tl rs rp rm ksh tsh ush fr sfr dh dhs qr tk nkr skr dkr ikr "
    "eur usd gbp chf euro euros dollar dollars franken francs franc pesos peso yen yuan rmb rubel krone kronen kroner "
    "kronor koruna korun forint rupees rupee rupiah dong 円 元 圓 圆 원 บาท đồng"
)
# ISO 4217 codes are only told from words by their capitals.
CURRENCY_CODES = _words(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD "
    "RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD "
    "UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG"
)
# Their amounts have three decimals (ISO 4217), so a mark before three digits tells nothing.
THREE_DECIMALS = _words("BHD IQD JOD KWD LYD OMR TND bhd iqd jod kwd lyd omr tnd kd bd jd دينار")
# An amount for a piece of something may have any number of decimals (fuel: 1,799 €/l).
PER_UNIT = _words("per je pro por par al à a za på")

THOUSAND, MILLION, BILLION, TRILLION = (Decimal(10) ** power for power in (3, 6, 9, 12))
# Words that mean the same wherever they stand behind a number.
UNITS = {
    **_each(THOUSAND, "tsd tausend thousand tys тыс тис tisíc tisic tusen tusind duizend ezer ribu nghìn ngàn พัน"),
    **_each(
        MILLION,
        "mio mill mln mn million millions millionen millón millones milhão milhões milione milioni milion miliony "
        "milionów milionů miljoen miljoner millioner milyon млн миллион миллиона миллионов мільйон juta triệu ล้าน",
    ),
    **_each(
        BILLION,
        "mrd mia mld bn bln milliard milliards milliarde milliarden miliard miliardi miliardy miljard miljarder milyar "
        "млрд миллиард миллиарда миллиардов мільярд tỷ พันล้าน",
    ),
    **_each(Decimal(10) ** 4, "หมื่น"),
    **_each(Decimal(10) ** 5, "lakh lakhs lac lacs लाख แสน"),
    **_each(Decimal(10) ** 7, "crore crores करोड़"),
    **_each(Decimal(12), "dozen dutzend douzaine docena dozzina"),
}
# Units that are other words as well: they count where the amount has a currency.
WITH_CURRENCY = {
    **_each(MILLION, "m mm"),
    **_each(BILLION, "b md mds"),
    **_each(TRILLION, "t"),
    **_each(Decimal(10) ** 7, "cr"),
}
# Millions in some languages, thousands or the long scale's in others.
BY_LANGUAGE: dict[str, dict[str, Decimal]] = {
    "mil": _each(THOUSAND, "es pt ca gl") | _each(MILLION, "cs sk ro hr sl en"),
    "mille": _each(THOUSAND, "fr it"),
    "bin": _each(THOUSAND, "tr az"),
    "billion": _each(BILLION, "en") | _each(TRILLION, "de fr da nb nn no"),
    "billions": _each(BILLION, "en") | _each(TRILLION, "fr"),
    "billionen": _each(TRILLION, "de"),
    "trillion": _each(TRILLION, "en") | _each(Decimal(10) ** 18, "de fr da nb no"),
}
# Chinese, Japanese and Korean units follow one another: 1万2千 is 12,000, 3百万 three million.
EAST_ASIAN = {
    **dict.fromkeys("百백", Decimal(100)),
    **dict.fromkeys("千仟천", THOUSAND),
    **dict.fromkeys("万萬만", Decimal(10) ** 4),
    **dict.fromkeys("億亿억", Decimal(10) ** 8),
}
