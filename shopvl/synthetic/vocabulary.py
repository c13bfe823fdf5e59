"""Words of the shop: colours, property values, properties and categories, with their names in two languages."""

from dataclasses import dataclass

from shopvl.synthetic.fabric import Rgb


@dataclass(frozen=True)
class Name:
    """What something is called, in English, in Chinese, and otherwise."""

    en: str
    zh: str
    synonyms: tuple[str, ...] = ()


# Colour name -> sRGB as it photographs under soft light.
COLOURS: dict[str, Rgb] = {
    "Black": (38, 38, 42),
    "White": (236, 235, 231),
    "Grey": (142, 144, 148),
    "Beige": (214, 190, 150),
    "Brown": (112, 70, 42),
    "Red": (198, 32, 42),
    "Pink": (238, 146, 176),
    "Orange": (238, 122, 34),
    "Yellow": (244, 206, 58),
    "Green": (50, 132, 68),
    "Teal": (22, 134, 138),
    "Blue": (50, 108, 200),
    "Navy": (30, 42, 94),
    "Purple": (120, 66, 158),
}

VALUES: dict[str, tuple[Name, ...]] = {
    "Colour": (
        Name("Black", "黑色", ("jet black", "纯黑")),
        Name("White", "白色", ("off white", "米白")),
        Name("Grey", "灰色", ("gray", "浅灰")),
        Name("Beige", "米色", ("sand", "cream", "杏色")),
        Name("Brown", "棕色", ("tan", "咖啡色", "褐色")),
        Name("Red", "红色", ("scarlet", "大红")),
        Name("Pink", "粉色", ("rose", "粉红")),
        Name("Orange", "橙色", ("tangerine", "橘色")),
        Name("Yellow", "黄色", ("mustard", "鹅黄")),
        Name("Green", "绿色", ("forest green", "墨绿")),
        Name("Teal", "青色", ("turquoise", "湖蓝")),
        Name("Blue", "蓝色", ("royal blue", "宝蓝")),
        Name("Navy", "藏青色", ("navy blue", "dark blue", "深蓝")),
        Name("Purple", "紫色", ("violet", "浅紫")),
    ),
    "Pattern": (
        Name("Solid", "纯色", ("plain", "素色")),
        Name("Striped", "条纹", ("stripes",)),
        Name("Checked", "格子", ("plaid", "格纹")),
        Name("Polka Dots", "波点", ("dotted", "圆点")),
        Name("Floral", "碎花", ("flowers", "印花")),
        Name("Colour Block", "拼色", ("colorblock", "撞色")),
        Name("Printed", "图案", ("graphic", "卡通")),
    ),
    "Sleeve": (
        Name("Short Sleeves", "短袖", ("short sleeve",)),
        Name("Long Sleeves", "长袖", ("long sleeve",)),
        Name("Sleeveless", "无袖", ("tank", "背心款")),
    ),
    "Neck": (
        Name("Round Neck", "圆领", ("crew neck",)),
        Name("V-Neck", "V领", ("v neck",)),
        Name("Polo Collar", "翻领", ("polo",)),
        Name("Turtleneck", "高领", ("roll neck",)),
    ),
    "Length": (
        Name("Mini", "短款", ("short",)),
        Name("Midi", "中长款", ("knee length",)),
        Name("Maxi", "长款", ("full length", "及踝")),
        Name("Hip", "及臀款", ("hip length",)),
        Name("Long", "加长款", ("long line",)),
    ),
    "Fit": (
        Name("Skinny", "修身", ("slim", "小脚")),
        Name("Straight", "直筒", ("regular",)),
        Name("Wide", "阔腿", ("wide leg", "宽松")),
    ),
    "Heel": (
        Name("Flat", "平底", ("no heel",)),
        Name("Mid", "中跟", ("block heel", "粗跟")),
        Name("High", "高跟", ("stiletto", "细跟")),
        Name("Wedge", "坡跟", ("platform",)),
    ),
    "Height": (
        Name("Ankle", "短筒", ("low cut",)),
        Name("Crew", "中筒", ("mid calf",)),
        Name("Knee High", "高筒", ("over the calf", "长筒")),
    ),
    "Closure": (
        Name("Lace-up", "系带", ("laces",)),
        Name("Slip-on", "套脚", ("elastic", "一脚蹬")),
        Name("Velcro", "魔术贴", ("hook and loop",)),
        Name("Zip", "拉链", ("zipper",)),
        Name("Buttons", "单排扣", ("buttoned", "纽扣")),
        Name("Button", "扣头", ("button fly",)),
        Name("Drawstring", "抽绳", ("elasticated",)),
        Name("Pullover", "套头", ("pull on",)),
    ),
    "Strap": (
        Name("Top Handle", "手提", ("tote", "单肩手提")),
        Name("Shoulder Strap", "肩带", ("crossbody", "斜挎")),
        Name("Chain", "链条", ("chain strap",)),
        Name("Leather", "皮带", ("leather strap",)),
        Name("Metal", "钢带", ("steel bracelet",)),
        Name("Rubber", "硅胶带", ("silicone",)),
    ),
    "Frame": (
        Name("Round", "圆框", ("circle",)),
        Name("Rectangle", "方框", ("square frame",)),
        Name("Aviator", "飞行员款", ("pilot",)),
        Name("Cat Eye", "猫眼", ("cateye",)),
    ),
    "Dial": (Name("Round", "圆盘", ("circular",)), Name("Square", "方盘", ("rectangular",))),
    "Buckle": (Name("Pin Buckle", "针扣", ("prong",)), Name("Plate Buckle", "板扣", ("plaque",))),
    "Pom-pom": (Name("With Pom-pom", "带毛球", ("bobble",)), Name("No Pom-pom", "无毛球", ("plain top",))),
    "Style": (Name("Hoop", "圈形", ("ring",)), Name("Drop", "水滴", ("dangle",)), Name("Stud", "耳钉款", ("post",))),
    "Metal": (Name("Gold", "金", ("golden",)), Name("Silver", "银", ("sterling",))),
    "Shape": (
        Name("Straight", "直身", ("classic",)),
        Name("Rounded", "圆肚", ("belly",)),
        Name("Drum", "鼓形", ("cylinder",)),
        Name("Cone", "锥形", ("tapered",)),
        Name("Globe", "球形", ("ball",)),
        Name("Square", "方形", ("quadratic",)),
        Name("Round", "圆形", ("circular",)),
        Name("Bottle", "瓶形", ("bottleneck",)),
        Name("Tube", "筒形", ("straight sided",)),
    ),
    "Back": (Name("Slatted", "条木靠背", ("wooden back",)), Name("Padded", "软包靠背", ("upholstered",))),
    "Material": (
        Name("Cotton", "棉", ("纯棉",)),
        Name("Wool", "羊毛", ("knitted wool",)),
        Name("Polyester", "涤纶", ("synthetic",)),
        Name("Linen", "亚麻", ("flax",)),
        Name("Silk", "真丝", ("satin",)),
        Name("Denim", "牛仔布", ("jean cloth",)),
        Name("Leather", "皮革", ("真皮",)),
        Name("Canvas", "帆布", ("duck",)),
        Name("Ceramic", "陶瓷", ("porcelain", "瓷")),
        Name("Wood", "实木", ("oak",)),
        Name("Steel", "不锈钢", ("stainless",)),
        Name("Acetate", "板材", ("plastic",)),
        Name("Alloy", "合金", ("metal alloy",)),
    ),
    "Gender": (
        Name("Men", "男士", ("mens", "男")),
        Name("Women", "女士", ("ladies", "女")),
        Name("Unisex", "男女通用", ("everyone", "中性")),
    ),
    "Season": (
        Name("Spring", "春季", ("春",)),
        Name("Summer", "夏季", ("夏",)),
        Name("Autumn", "秋季", ("fall", "秋")),
        Name("Winter", "冬季", ("冬",)),
    ),
    "Usage": (
        Name("Casual", "休闲", ("everyday", "日常")),
        Name("Formal", "正装", ("business", "商务")),
        Name("Sports", "运动", ("active", "健身")),
        Name("Party", "派对", ("evening", "聚会")),
        Name("Travel", "旅行", ("outdoor", "户外")),
        Name("Home", "家居", ("household", "居家")),
    ),
    "Brand": (
        Name("Norvik", "诺维克"),
        Name("Lumea", "露美"),
        Name("Tessuto", "泰素"),
        Name("Kairo", "凯罗"),
        Name("Wildfen", "野芬"),
        Name("Ostra", "奥思达"),
        Name("Mapleton", "枫林"),
        Name("Yunshan", "云山"),
        Name("Halden", "海登"),
        Name("Piccola", "小巧"),
    ),
}

PROPERTY_NAMES: dict[str, Name] = {
    "Colour": Name("Colour", "颜色", ("color",)),
    "Pattern": Name("Pattern", "图案", ("print", "花型")),
    "Sleeve": Name("Sleeve", "袖长", ("sleeve length",)),
    "Neck": Name("Neck", "领型", ("neckline", "collar")),
    "Length": Name("Length", "长度", ("hem", "衣长")),
    "Fit": Name("Fit", "版型", ("cut",)),
    "Heel": Name("Heel", "跟高", ("heel height", "鞋跟")),
    "Height": Name("Height", "筒高", ("shaft",)),
    "Closure": Name("Closure", "闭合方式", ("fastening",)),
    "Strap": Name("Strap", "带子", ("band", "包带", "表带")),
    "Frame": Name("Frame", "框型", ("frame shape", "镜框")),
    "Dial": Name("Dial", "表盘", ("dial shape",)),
    "Buckle": Name("Buckle", "扣型", ("带扣",)),
    "Pom-pom": Name("Pom-pom", "毛球", ("bobble",)),
    "Style": Name("Style", "款式", ("type",)),
    "Metal": Name("Metal", "金属", ("setting",)),
    "Shape": Name("Shape", "形状", ("form",)),
    "Back": Name("Back", "靠背", ("backrest",)),
    "Material": Name("Material", "材质", ("fabric", "面料")),
    "Gender": Name("Gender", "适用性别", ("for",)),
    "Season": Name("Season", "季节", ("适用季节",)),
    "Usage": Name("Usage", "场合", ("occasion", "用途")),
    "Brand": Name("Brand", "品牌", ("label", "make")),
}


CATEGORY_NAMES: dict[str, Name] = {
    "Apparel": Name("Apparel", "服装", ("clothing", "衣服")),
    "Topwear": Name("Topwear", "上装", ("tops", "上衣")),
    "Bottomwear": Name("Bottomwear", "下装", ("bottoms",)),
    "Outerwear": Name("Outerwear", "外套", ("jackets",)),
    "One-piece": Name("One-piece", "连体", ("full body",)),
    "Legwear": Name("Legwear", "袜品", ("hosiery",)),
    "Footwear": Name("Footwear", "鞋靴", ("鞋类",)),
    "Shoes": Name("Shoes", "鞋", ("鞋子",)),
    "Open Shoes": Name("Open Shoes", "凉鞋拖鞋", ("summer shoes",)),
    "Accessories": Name("Accessories", "配饰", ("配件",)),
    "Bags": Name("Bags", "包袋", ("箱包",)),
    "Headwear": Name("Headwear", "帽子", ("hats",)),
    "Eyewear": Name("Eyewear", "眼镜", ("glasses",)),
    "Timepieces": Name("Timepieces", "钟表", ("腕表",)),
    "Small Leather Goods": Name("Small Leather Goods", "皮件", ("leather goods",)),
    "Neckwear": Name("Neckwear", "颈饰", ("围脖",)),
    "Jewellery": Name("Jewellery", "首饰", ("jewelry", "饰品")),
    "Home": Name("Home", "家居", ("home goods", "家居用品")),
    "Kitchen": Name("Kitchen", "厨房", ("餐厨",)),
    "Lighting": Name("Lighting", "灯具", ("lights", "照明")),
    "Furniture": Name("Furniture", "家具", ("furnishings",)),
    "Textiles": Name("Textiles", "家纺", ("soft furnishings",)),
    "Decor": Name("Decor", "装饰", ("decoration", "摆件")),
}


def zh_name(property_name: str, value: str) -> str:
    """The Chinese name of a property's value; a brand that has none is written as it is."""
    return next((name.zh for name in VALUES[property_name] if name.en == value), value)
